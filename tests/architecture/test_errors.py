"""The tree of errors and the table of their gRPC codes fit together."""

import re
from collections.abc import Mapping
from typing import get_type_hints

import grpc
import pytest

from server.domain import errors
from server.domain.errors import KeysteadError
from server.grpc_api.errors import _CODES, to_status
from tests.support.token import ROOT

ONE_MEANING_TWICE = {
    # Custody knows that a KEK is damaged, and only the use case knows which: to a caller it is the same fault.
    "KEK_DAMAGED": {errors.KekRejectedError, errors.KekDamagedError},
}


def _leaves(error: type[KeysteadError] = KeysteadError) -> list[type[KeysteadError]]:
    below = error.__subclasses__()
    return [leaf for child in below for leaf in _leaves(child)] if below else [error]


def _raised(leaf: type[KeysteadError]) -> KeysteadError:
    samples = {bytes: b"x", Mapping[str, str]: {"state": "x"}}
    return leaf(*(samples.get(kind, "x") for name, kind in get_type_hints(leaf.__init__).items() if name != "return"))


def test_the_second_level_of_the_tree_is_the_table_of_codes():
    assert set(_CODES) == set(KeysteadError.__subclasses__())
    assert len(set(_CODES.values())) == len(_CODES)


def test_every_leaf_is_below_the_second_level_and_in_one_place():
    for leaf in _leaves():
        assert leaf.__module__.startswith(errors.__name__)
        assert len(set(_CODES) & set(leaf.__mro__)) == 1
        assert leaf not in _CODES, f"{leaf.__name__} is a kind of fault without a fault"


@pytest.mark.parametrize("leaf", _leaves(), ids=lambda leaf: leaf.__name__)
def test_every_leaf_has_a_reason_and_a_sentence(leaf):
    assert leaf.__name__.endswith("Error")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", leaf.reason)
    assert leaf.__doc__
    status = to_status(_raised(leaf))
    assert status.message.endswith(".")
    assert status.details


def test_a_reason_has_one_meaning():
    by_reason: dict[str, set[type[KeysteadError]]] = {}
    for leaf in _leaves():
        by_reason.setdefault(leaf.reason, set()).add(leaf)
    assert {reason: leaves for reason, leaves in by_reason.items() if len(leaves) > 1} == ONE_MEANING_TWICE


def test_every_reason_that_the_contract_names_exists():
    reasons = {leaf.reason for leaf in _leaves()}
    text = "".join(file.read_text() for file in (ROOT / "proto/keystead/v1").glob("*.proto"))
    comments = re.sub(r"\n\s*//", "", text)
    named = {
        word
        for phrase in re.findall(r"with reason ([A-Z][^;.]*)", comments)
        for word in re.findall(r"\b[A-Z]+_[A-Z_]+\b", phrase)
    }
    assert named
    assert named <= reasons | {code.name for code in grpc.StatusCode}
