"""The same request sent many times at once is carried out once, and every sender gets the one answer."""

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain.errors import ConcurrentChangeError
from server.domain.ids import MainKeyName, OrganizationId
from server.domain.roles import Caller, Grant, Role
from server.use_cases import AnsweredBefore, Import, Terms
from tests.support.pooled import PooledCustody
from tests.support.world import opened

SENDERS = 5
"""No more than a wrapping key has attempts: each upload on its way holds one."""
OPERATOR = Caller("spiffe://test/operator", (Grant(Role.OPERATOR, frozenset()),))


@pytest.fixture
def world(database_url, tmp_path):
    with opened(tmp_path / "world", url=database_url, custody=PooledCustody) as world:
        yield world


def sent_at_once(change):
    """Send a request from many threads; return how often it was carried out. A caller that is told to retry does."""
    terms = Terms(str(uuid.uuid4()), bytes(32), None, lambda _: b"the answer")
    together = threading.Barrier(SENDERS)

    def send(_):
        together.wait(10)
        for _ in range(100):
            try:
                change(terms)
            except AnsweredBefore as repeat:
                return repeat.answer
            except ConcurrentChangeError:
                continue
            return b"carried out"
        raise AssertionError("never answered")

    with ThreadPoolExecutor(SENDERS) as senders:
        answers = list(senders.map(send, range(SENDERS)))
    assert set(answers) <= {b"carried out", b"the answer"}
    return answers.count(b"carried out")


def test_at_once(world):
    org = OrganizationId(f"org-{os.urandom(4).hex()}")
    admin, user = world.admin(org), world.user(org)
    assert sent_at_once(lambda terms: world.do.create_organization(OPERATOR, org, "", terms)) == 1
    assert sent_at_once(lambda terms: world.do.create_kek(user, org, terms)) == 1
    assert len(world.keks(org)) == 1
    upload = world.upload(org, os.urandom(32))
    before = world.object_ids()
    assert sent_at_once(lambda terms: world.do.import_main_key(admin, Import(upload, activate_now=False), terms)) == 1
    (key,) = [key for key in world.keys(org).values() if key.object_id not in before]
    assert world.object_ids() - before == {key.object_id}
    name = MainKeyName(org, key.id)
    for move in (world.do.main_key_moves.activate, world.do.main_key_moves.revoke, world.do.main_key_moves.delete):
        assert sent_at_once(lambda terms, move=move: move(admin, name, terms)) == 1
    assert world.reconcile().unknown == ()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_import_that_is_overtaken_by_its_own_repeat_is_told_the_first_answer(world):
    org = OrganizationId(f"org-{os.urandom(4).hex()}")
    world.do.create_organization(OPERATOR, org, "")
    told = []
    for steps in range(1, 10):
        wanted = Import(world.upload(org, os.urandom(32)), activate_now=True)
        terms = Terms(str(uuid.uuid4()), bytes(32), None, lambda _: b"the answer")

        def ask(wanted=wanted, terms=terms):
            try:
                world.do.import_main_key(world.admin(org), wanted, terms)
            except AnsweredBefore as repeat:
                return repeat.answer
            return b"carried out"

        world.steps.begin(crash_after=steps, end=lambda ask=ask: told.append(ask()))
        slower = ask()
        # Once the slower one has committed, the faster one is the repeat.
        assert sorted([slower, told[-1]]) == [b"carried out", b"the answer"], world.steps.names
        if slower == b"carried out":
            break
    assert len(told) >= 4
