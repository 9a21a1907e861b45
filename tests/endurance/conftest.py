"""Chance that can be repeated: a failure shows its seed, and KEYSTEAD_TEST_SEED gives it again."""

import logging
import os
import secrets

import pytest

from tests.support.crowd import dice


@pytest.fixture
def rng():
    seed = int(os.environ.get("KEYSTEAD_TEST_SEED") or secrets.randbits(32))
    logging.getLogger(__name__).warning("KEYSTEAD_TEST_SEED=%d", seed)
    return dice(seed)
