"""An upload that is sent twice at once: who is overtaken after he was let in is told the first answer too."""

import os
import uuid
from collections.abc import Callable

import pytest

from server.custody.hsm import HsmCustody
from server.use_cases import AnsweredBefore, Import, Terms
from tests.support.world import opened

CALLS = ("examine_main_key", "unwrap_main_key")


class InterruptedCustody(HsmCustody):
    """Something happens just before a call of the token, once."""

    meanwhile: dict[str, Callable[[], object]]

    def examine_main_key(self, *arguments):
        self.meanwhile.pop("examine_main_key", lambda: None)()
        return super().examine_main_key(*arguments)

    def unwrap_main_key(self, *arguments):
        self.meanwhile.pop("unwrap_main_key", lambda: None)()
        return super().unwrap_main_key(*arguments)


@pytest.fixture(scope="module")
def world_of_file(tmp_path_factory):
    # With real wrapping keys, which are gone when they were used.
    with opened(tmp_path_factory.mktemp("world"), custody=InterruptedCustody) as world:
        yield world


@pytest.fixture
def world(world_of_file):
    world_of_file.custody.meanwhile = {}
    return world_of_file


@pytest.mark.parametrize("call", CALLS)
def test_a_repeat_while_the_first_is_under_way_is_told_its_answer(world, org, call):
    wanted = Import(world.upload(org, os.urandom(32)), activate_now=True)
    terms = Terms(str(uuid.uuid4()), pack=lambda _: b"the first answer")
    world.custody.meanwhile[call] = lambda: world.do.import_main_key(world.admin(org), wanted, terms)
    with pytest.raises(AnsweredBefore) as repeat:
        world.do.import_main_key(world.admin(org), wanted, terms)
    assert repeat.value.answer == b"the first answer"
    assert {key.object_id for key in world.keys(org).values()} <= world.object_ids()
    assert len(world.keys(org)) == 2
