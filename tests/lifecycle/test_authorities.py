"""What a process knows of the organisations that it serves: until when, and what ends it sooner."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.errors import (
    ConcurrentChangeError,
    OrganizationLockedError,
    ResourceNotFoundError,
    StorageUnavailableError,
)
from server.domain.ids import KekName, MainKeyName, OrganizationId
from server.domain.main_keys import State
from server.storage import SqlStorage
from tests.support.pooled import PooledCustody
from tests.support.service import eventually
from tests.support.world import World, opened

LEASE = timedelta(seconds=2.5)


class Counted:
    """A storage whose reads are counted, and that can be cut off, or fail once."""

    def __init__(self, storage):
        self._storage = storage
        self.reads = 0
        self.is_cut_off = False
        self.faults = []
        self.meanwhile = []
        """What happens, once, between a read and the arrival of its answer."""

    def __getattr__(self, name):
        return getattr(self._storage, name)

    @contextmanager
    def read(self):
        self.reads += 1
        if self.is_cut_off:
            raise StorageUnavailableError
        if self.faults:
            raise self.faults.pop()
        with self._storage.read() as tx:
            yield tx
        if self.meanwhile:
            self.meanwhile.pop()()


def replica_of(world, storage):
    """Another process over the same rows, which relies on what it has seen; nothing keeps it up to date by itself."""
    there = World(storage, world.custody, replace(world.limits, authority_lease=LEASE), world.steps, world.now)
    there.authorities = there.do.authorities
    return there


@pytest.fixture
def replica(world):
    there = replica_of(world, Counted(world.storage))
    there.storage.reads = 0
    return there


@pytest.fixture
def org(world):
    org = world.new_organization()
    world.bring(org)
    return org


def revoke(world, org):
    world.do.main_key_moves.revoke(world.admin(org), MainKeyName(org, world.in_charge(org).id))


def activate(world, org):
    world.do.main_key_moves.activate(world.admin(org), MainKeyName(org, world.in_charge(org).id))


def test_the_database_is_asked_once_in_a_lease(replica, org):
    for _ in range(5):
        assert replica.authorities.demand_unlocked(org).state is State.ACTIVE
    assert replica.storage.reads == 1
    replica.pass_time(LEASE)
    replica.authorities.demand_unlocked(org)
    assert replica.storage.reads == 2


def test_a_revocation_of_which_nothing_was_heard_holds_after_one_lease(world, replica, org):
    replica.authorities.demand_unlocked(org)
    revoke(world, org)
    replica.pass_time(LEASE - timedelta(milliseconds=1))
    replica.authorities.demand_unlocked(org)
    replica.pass_time(timedelta(milliseconds=1))
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)


def test_without_the_database_work_goes_on_for_one_lease_and_then_stops(replica, org):
    replica.authorities.demand_unlocked(org)
    replica.storage.is_cut_off = True
    replica.pass_time(LEASE - timedelta(milliseconds=1))
    replica.authorities.demand_unlocked(org)
    replica.pass_time(timedelta(milliseconds=1))
    for _ in range(5):
        with pytest.raises(StorageUnavailableError):
            replica.authorities.demand_unlocked(org)
    assert replica.storage.reads == 2  # Not everybody who waits asks a database that does not answer.
    replica.storage.is_cut_off = False
    replica.pass_time(timedelta(seconds=1))
    replica.authorities.demand_unlocked(org)


def test_while_an_answer_is_long_in_coming_nobody_else_asks(world, replica, org):
    other = world.new_organization()

    def meanwhile():
        replica.authorities.demand_unlocked(other)
        replica.pass_time(timedelta(seconds=1))
        with pytest.raises(StorageUnavailableError):
            replica.authorities.demand_unlocked(world.new_organization())

    replica.storage.meanwhile.append(meanwhile)
    replica.authorities.demand_unlocked(org)
    assert replica.storage.reads == 2


def test_a_database_that_did_not_answer_is_asked_by_one_at_a_time(world, replica, org):
    other = world.new_organization()

    def meanwhile():
        with pytest.raises(StorageUnavailableError):
            replica.authorities.demand_unlocked(other)

    replica.storage.is_cut_off = True
    with pytest.raises(StorageUnavailableError):
        replica.authorities.demand_unlocked(org)
    replica.storage.is_cut_off = False
    replica.pass_time(timedelta(seconds=1))
    replica.storage.meanwhile.append(meanwhile)
    replica.authorities.demand_unlocked(org)
    assert replica.storage.reads == 2
    replica.authorities.demand_unlocked(other)


def test_a_process_that_was_stopped_knows_nothing_when_it_goes_on(world, replica, org):
    replica.authorities.demand_unlocked(org)
    revoke(world, org)
    replica.pass_time(timedelta(hours=1))
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)


def test_a_wall_clock_that_jumps_changes_nothing(replica, org):
    replica.authorities.demand_unlocked(org)
    replica.now -= timedelta(days=365)
    replica.authorities.demand_unlocked(org)
    replica.now += timedelta(days=730)
    replica.authorities.demand_unlocked(org)
    assert replica.storage.reads == 1


def test_a_reactivation_holds_at_once(world, replica, org):
    revoke(world, org)
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)
    activate(world, org)
    replica.authorities.demand_unlocked(org)


def test_an_outage_is_not_shown_as_a_revocation_nor_the_other_way_round(world, replica, org):
    revoke(world, org)
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)
    replica.storage.is_cut_off = True
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)
    replica.pass_time(LEASE)
    with pytest.raises(StorageUnavailableError):
        replica.authorities.demand_unlocked(org)


def test_an_organisation_that_does_not_exist_is_not_remembered(world, replica):
    with pytest.raises(ResourceNotFoundError):
        replica.authorities.demand_unlocked(OrganizationId("nobody"))
    assert replica.authorities._served() == []


def test_a_client_may_rely_on_what_it_is_told_for_the_rest_of_the_bound(replica, org):
    snapshot, seconds = replica.authorities.describe(org)
    assert (snapshot.state, seconds) == (State.ACTIVE, 5.0)
    replica.pass_time(timedelta(seconds=2))
    assert replica.authorities.describe(org)[1] == 3.0
    replica.pass_time(timedelta(seconds=1))
    assert replica.authorities.describe(org)[1] == 5.0


def test_an_answer_that_is_overtaken_by_a_younger_one_is_not_believed(world, replica, org):
    before = replica.authorities.demand_unlocked(org)
    asked = replica.monotonic
    replica.pass_time(timedelta(seconds=1))
    revoke(world, org)
    replica.authorities._read([org])
    known = replica.authorities._known[org]
    assert not replica.authorities._renew(known, before, asked, replica.monotonic)
    assert known.snapshot.state is State.REVOKED


def test_an_answer_that_was_overtaken_by_a_change_is_not_kept_up_to_date(world, replica, org):
    def meanwhile():
        revoke(world, org)
        replica.pass_time(timedelta(milliseconds=1))
        replica.authorities._look(lambda: True)  # The change is heard of, before anybody knows the organisation.

    replica.storage.meanwhile.append(meanwhile)
    replica.authorities.demand_unlocked(org)
    replica.pass_time(LEASE / 2)
    replica.authorities._look(lambda: False)
    replica.pass_time(LEASE / 2)
    with pytest.raises(OrganizationLockedError):
        replica.authorities.demand_unlocked(org)


def test_a_conflict_in_the_database_does_not_end_the_keeping_up_to_date(replica, org):
    replica.authorities.demand_unlocked(org)
    replica.storage.faults.append(ConcurrentChangeError())
    with replica.authorities.kept():
        eventually(lambda: replica.storage.reads >= 3, "the database is asked again")


def test_what_another_process_commits_is_heard_on_every_database(tmp_path, database_url):
    with (
        opened(tmp_path, url=database_url, custody=PooledCustody) as world,
        SqlStorage.open(database_url) as storage,
    ):
        org = world.new_organization()
        world.bring(org)
        there = replica_of(world, storage)
        kek = KekName(org, world.new_kek(org).id)
        there.do.generate_content_keys(there.user(org), kek, count=1, size=32, context={})
        with there.authorities.kept():
            there.authorities.demand_unlocked(org)
            revoke(world, org)  # No lease ends meanwhile: the clock stands still.
            eventually(lambda: there.authorities.changes_seen, "the revocation is heard of")
            assert there.authorities.describe(org)[0].state is State.REVOKED
            eventually(lambda: not there.custody.kek_statistics.loaded, "the KEK is unloaded")
