"""One token for each file of tests, opened through the adapter."""

import os

import pytest

from hsm_adapter import HsmToken
from hsm_adapter.constants import Attribute
from hsm_adapter.structures import Template
from tests.support.token import make_token


@pytest.fixture(scope="module")
def hsm_settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("token")
    settings = make_token(folder)
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    yield settings
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="module")
def token(hsm_settings):
    with HsmToken.open(hsm_settings) as token:
        yield token


@pytest.fixture
def count_objects(token):
    """Return how many token objects there are, of whatever kind."""

    def count():
        everything = Template({Attribute.TOKEN: True})
        return token._recovery.run(lambda s: len(token._cryptoki.find_objects(s.handle, everything, 10_000)))

    return count
