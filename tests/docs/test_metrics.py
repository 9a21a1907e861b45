"""docs/metrics.md lists every metric with its labels."""

import re

from server.observability.catalogue import METRICS, Kind
from server.steward import chores
from tests.docs.pages import page, table, words

PAGE = page("docs/metrics.md")
HEADINGS = ("Processes", "Calls", "Token and database", "Keys")
ROWS = [row for heading in HEADINGS for row in table(PAGE, heading, "metric")]


def test_every_metric_is_listed_with_its_labels():
    told = {words(metric)[0]: words(labels) for metric, labels, _ in ROWS}
    assert len(told) == len(ROWS)
    assert told == {metric.name: list(metric.all_labels) for metric in METRICS}
    assert all(meaning for *_, meaning in ROWS)


def test_histograms_are_told_to_be_some():
    told = {words(metric)[0] for metric, _, meaning in ROWS if meaning.startswith("a histogram")}
    assert told == {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}


def test_how_often_the_steward_looks_is_told():
    seconds = {"every 5 seconds": 5, "every minute": 60, "every hour": 3600}
    told = {words(metric)[0]: re.search(r"every \S+(?: seconds)?$", meaning) for metric, _, meaning in ROWS[-6:]}
    often = {name: seconds[found[0]] for name, found in told.items()}
    assert set(often.values()) == {chores.PROGRESS_INTERVAL, chores.TIDY_INTERVAL, chores.RECONCILE_INTERVAL}
    assert often["keystead_rotation_keks_left"] == chores.PROGRESS_INTERVAL
    assert often["keystead_rotations_due"] == chores.TIDY_INTERVAL
    assert often["keystead_main_keys_missing"] == chores.RECONCILE_INTERVAL
