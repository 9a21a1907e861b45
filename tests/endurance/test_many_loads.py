"""KEKs that are loaded again and again leave nothing behind; scripts/bench memory does it 200,000 times."""

import pytest

from tests.support.footprint import MIB
from tests.support.many_loads import CACHED, SETTLED, looks_at_many_loads

pytestmark = pytest.mark.slow

LOADS = 60_000


def test_tens_of_thousands_of_loads_leave_no_object_and_no_memory_behind(tmp_path):
    early, late = looks_at_many_loads(tmp_path, [SETTLED, LOADS])
    assert late.loads >= LOADS
    assert (early.loaded, early.objects) == (late.loaded, late.objects) == (CACHED, CACHED)
    assert late.resident - early.resident < 2 * MIB
