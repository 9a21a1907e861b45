"""How often a KEK may encrypt: counted across processes and crashes, and what takes over then."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain.errors import OrganizationLockedError, ResourceNotFoundError
from server.domain.ids import KekName, MainKeyName
from tests.support.steps import Crash
from tests.support.world import later

LIMIT = 10


@pytest.fixture
def world(world):
    """The same, where a KEK may encrypt ten times and a process takes four of them at once."""
    return later(world, kek_encryptions=LIMIT)


@pytest.fixture
def kek(world, org):
    return KekName(org, world.new_kek(org).id)


def made(world, kek, count=1):
    return world.do.generate_content_keys(world.user(kek.organization), kek, count=count, size=16, context={"a": "b"})


def version_of(wrapped: bytes) -> str:
    return wrapped[1:17].hex()


def unwrapped(world, org, keys):
    return world.do.unwrap_content_keys(world.user(org), org, [(key.wrapped, {"a": "b"}) for key in keys])


def newest(world, kek):
    with world.storage.read() as tx:
        return tx.keks.newest(kek.organization, kek.id)


def test_a_new_version_takes_over_and_the_old_one_still_decrypts(world, org, kek):
    keys = [key for _ in range(25) for key in made(world, kek)]
    versions = Counter(version_of(key.wrapped) for key in keys)
    assert len(versions) == 3
    assert max(versions.values()) <= LIMIT
    assert next(iter(versions)) == kek.id
    results = unwrapped(world, org, keys)
    assert [it.plaintext for it in results] == [key.plaintext for key in keys]
    assert {it.kek for it in results} == {kek}
    shown = world.do.get_kek(world.user(org), kek)
    assert (shown.kek, shown.version) == (kek.id, 3)
    assert len(world.keks(org)) == 1


def test_rewrapping_moves_to_the_newest_version(world, org, kek):
    old = [key for _ in range(2) for key in made(world, kek, 4)]
    made(world, kek, 8)
    again = world.do.rewrap_content_keys(world.user(org), org, [(key.wrapped, {"a": "b"}) for key in old])
    assert newest(world, kek).version > 1
    assert {version_of(it.wrapped) for it in again}.isdisjoint({kek.id})
    assert {it.kek for it in again} == {kek}


def test_what_a_process_did_not_use_up_is_lost_and_never_used_twice(world, org, kek):
    counted: Counter[str] = Counter()
    for _ in range(8):
        process = later(world)
        counted.update(version_of(key.wrapped) for key in made(process, kek))
    # Each took a block of four of ten and used one; the rest of a version goes in smaller pieces.
    assert max(counted.values()) <= LIMIT
    assert newest(world, kek).version > 1


def test_processes_and_threads_agree_on_the_next_version(world, org, kek):
    processes = [later(world) for _ in range(3)]

    def work(number: int) -> list[str]:
        return [version_of(key.wrapped) for _ in range(10) for key in made(processes[number % 3], kek)]

    with ThreadPoolExecutor(6) as threads:
        counted = Counter(version for versions in threads.map(work, range(6)) for version in versions)
    assert sum(counted.values()) == 60
    assert max(counted.values()) <= LIMIT
    with world.storage.read() as tx:
        found = tx.keks.find_many(org, frozenset(counted))
    assert all(row.kek == kek.id for row in found.values())
    assert len({row.version for row in found.values()}) == len(found)


@pytest.mark.parametrize("step", range(1, 5))  # Two looks at what is left, the key, and its row between them.
def test_a_crash_while_a_version_is_made_costs_at_most_a_share(world, org, kek, step):
    made(world, kek, LIMIT)
    world.steps.begin(crash_after=step)
    with pytest.raises(Crash):
        made(world, kek)
    process = later(world)
    (key,) = made(process, kek)
    assert version_of(key.wrapped) != kek.id
    assert unwrapped(process, org, [key])[0].plaintext == key.plaintext
    assert newest(world, kek).version in {2, 3}


def test_no_version_is_made_for_an_organisation_that_is_locked(world, org):
    world.bring(org)
    kek = KekName(org, world.new_kek(org).id)
    made(world, kek, LIMIT)
    world.do.main_key_moves.revoke(world.admin(org), MainKeyName(org, world.in_charge(org).id))
    with pytest.raises(OrganizationLockedError):
        made(world, kek)
    assert newest(world, kek).version == 1


def test_a_kek_that_does_not_exist_is_told_and_makes_no_version(world, org, kek):
    made(world, kek, LIMIT)
    made(world, kek)
    version = newest(world, kek).id
    # A version is no KEK: callers know the KEK by the id of its first one.
    for name in (KekName(org, world.env.new_id()), KekName(org, version)):
        with pytest.raises(ResourceNotFoundError):
            made(world, name)


def test_a_version_is_rotated_and_recorded_like_any_kek(world, org, kek):
    made(world, kek, LIMIT)
    (key,) = made(world, kek)
    brought = world.bring(org)
    world.steward()
    with world.storage.read() as tx:
        found = tx.keks.find_many(org, frozenset({kek.id, version_of(key.wrapped)}))
    assert {row.main_key for row in found.values()} == {brought.id}
    assert unwrapped(world, org, [key])[0].plaintext == key.plaintext
