"""Fixtures that all rooms share."""

from collections.abc import Iterator

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support import postgres
from tests.support.service import Organization, Service, running

# How long an example takes says something of the machine, and nothing of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


class OneEnduranceTestAtATime(LoadFileScheduling):
    """Gives all of tests/endurance to one process.

    Each of them takes all of a small machine: two at once would last twice as long, and wait for each other.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/endurance" if file.startswith("tests/endurance/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return OneEnduranceTestAtATime(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> str:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keystead.db"
    return str(request.getfixturevalue("postgres_server").new_database())


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Service]:
    """One service for all tests that do it no harm; each has organisations of its own."""
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def org(service) -> Organization:
    return service.new_organization()
