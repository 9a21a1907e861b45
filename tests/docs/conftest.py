"""One service for all tests of the documentation."""

import pytest

from tests.support.service import running


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service"), SERVER__WORKERS="1") as service:
        yield service
