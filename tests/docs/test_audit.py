"""docs/audit.md says what is hashed and what is promised."""

import json
from datetime import timedelta

from server import bootstrap
from server.domain.checkpoints import CHECKPOINT
from server.use_cases import Limits, refusals
from tests.docs.pages import page, prose, table, words
from tests.support.audit_samples import FULL, recorded

PAGE = page("docs/audit.md")
TEXT = " ".join(prose(PAGE).split())


def test_every_field_that_is_hashed_is_told():
    told = [field for fields, _ in table(PAGE, "What is hashed", "field") for field in words(fields)]
    assert sorted(told) == sorted(json.loads(recorded(FULL)))
    assert f"`{CHECKPOINT}`" in TEXT


def test_the_bounds_are_those_of_the_code():
    assert bootstrap.RECORDS_INTERVAL < 0.2
    assert "within 200 ms" in TEXT
    assert Limits().unwritten_records == timedelta(seconds=10)
    assert (refusals.OF_A_CALLER, refusals.OF_ALL_CALLERS, refusals.MINUTE) == (10, 100, 60)
    assert "ten of one caller for one reason are told one by one by each process, and a hundred of all callers" in TEXT
