"""One token and one database for each file of tests; each test has an organisation of its own."""

import pytest

from tests.support.pooled import PooledCustody
from tests.support.world import opened


@pytest.fixture(scope="module")
def world_of_file(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("world"), custody=PooledCustody) as world:
        yield world


@pytest.fixture
def world(world_of_file):
    world_of_file.steps.begin()
    world_of_file.restart()
    return world_of_file


@pytest.fixture
def org(world):
    return world.new_organization()
