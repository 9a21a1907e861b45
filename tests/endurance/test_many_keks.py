"""A rotation of many KEKs takes no more memory at its end than after its first third."""

import ctypes
import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hsm_adapter import HsmToken
from hsm_adapter.constants import Attribute
from hsm_adapter.structures import Template
from server.domain.ids import KekName, OrganizationId
from server.domain.main_keys import State
from server.domain.rotations import RotationState
from server.storage.tables import keks
from server.use_cases import Limits, PageRequest
from tests.support.many_keks import make_many_keks
from tests.support.pooled import PooledCustody
from tests.support.world import opened

pytestmark = pytest.mark.slow

KEKS = 40_000
SAMPLE = 2000
MIB = 2**20
ROOM = 6 * MIB
"""What the process may have grown by in the last two thirds: less than 240 bytes a KEK."""


def resident_bytes(token: HsmToken, org: OrganizationId) -> int:
    """The memory that this process has when no KEK is loaded; an object that was forgotten would be found."""
    token.unload_keks(frozenset({org}))
    with token._pool.lease() as session:
        assert token._cryptoki.find_objects(session.handle, Template({Attribute.TOKEN: False}), 1) == []
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def all_kek_ids(world, org) -> list[str]:
    with world.storage.connected(writes=False) as connection:
        return list(connection.execute(sa.select(keks.c.id).where(keks.c.organization == org)).scalars())


def one_content_key_each(world, org, kek_ids) -> dict[bytes, bytes]:
    """New content keys in clear, by their wrapped form."""
    generate = world.do.generate_content_keys
    names = (KekName(org, it) for it in kek_ids)
    made = [generate(world.user(org), name, count=1, size=32, context={}) for name in names]
    return {key.wrapped: key.plaintext for (key,) in made}


def unwrapped(world, org, wrapped: list[bytes]) -> list[bytes]:
    results = []
    for start in range(0, len(wrapped), 1000):
        items = [(it, {}) for it in wrapped[start : start + 1000]]
        results += world.do.unwrap_content_keys(world.user(org), org, items)
    return [result.plaintext for result in results]


def rotation(world, org):
    (newest, *_) = world.do.list_rotations(world.admin(org), org, PageRequest(1, "")).items
    return newest.rotation


@pytest.mark.timeout(300)
def test_tens_of_thousands_of_keks_rotate_in_flat_memory(tmp_path, rng):
    with opened(tmp_path, custody=PooledCustody, limits=Limits()) as world:
        org = world.new_organization()
        first = world.bring(org)
        world.steward()
        make_many_keks(world, org, KEKS)
        content_keys = one_content_key_each(world, org, rng.sample(all_kek_ids(world, org), SAMPLE))

        world.pass_time(timedelta(seconds=1))
        second = world.bring(org)
        # Each round re-wraps one batch; the last one retires the old key.
        rounds = -(-KEKS // world.limits.rewrap_batch) + 1
        after_a_third = 0
        for number in range(rounds):
            assert sum(chore() for chore in world.chores.values()) > 0
            if number == rounds // 3:
                after_a_third = resident_bytes(world.custody._token, org)
        assert world.steward() == 0
        grown = resident_bytes(world.custody._token, org) - after_a_third
        assert grown < ROOM, f"{grown / MIB:.1f} of {after_a_third / MIB:.1f} MiB"

        done = rotation(world, org)
        assert (done.from_main_key, done.to_main_key, done.state) == (first.id, second.id, RotationState.DONE)
        assert (done.total, done.done, done.failed) == (KEKS, KEKS, 0)
        assert world.key(org, first.id).state is State.RETIRED
        with world.storage.read() as tx:
            assert tx.keks.count_by_main_key([org]) == {(org, second.id): KEKS}
        assert unwrapped(world, org, list(content_keys)) == list(content_keys.values())
