"""One service for all tests that do it no harm; each has organisations of its own."""

import pytest

from tests.support.service import running


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def org(service):
    return service.new_organization()
