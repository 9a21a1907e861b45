"""The Merkle tree is that of RFC 6962: held against its definition, written down a second time."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.merkle import consistency_path, inclusion_path, leaf_hash, node_hash, root_hash


def mth(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = max(2**i for i in range(64) if 2**i < len(entries))
    return hashlib.sha256(b"\1" + mth(entries[:k]) + mth(entries[k:])).digest()


def nodes_of(entries):
    return lambda level, place: mth(entries[place << level : (place + 1) << level])


def entries(size):
    return [bytes([number]) * 3 for number in range(size)]


def test_the_hashes_are_those_that_others_publish():
    # Certificate Transparency's own test data: MTH of these eight entries.
    hexadecimal = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    told = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert root_hash(8, nodes_of([bytes.fromhex(it) for it in hexadecimal])).hex() == told


def test_a_leaf_is_no_node():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.integers(0, 70))
def test_a_root_is_that_of_the_definition(size):
    assert root_hash(size, nodes_of(entries(size))) == mth(entries(size))


def verified_inclusion(leaf, place, size, path):
    """The root that a path leads to, by RFC 9162, section 2.1.3.2."""
    fn, sn, r = place, size - 1, leaf
    for p in path:
        assert sn > 0
        if fn % 2 == 1 or fn == sn:
            r = node_hash(p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return r


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_an_inclusion_path_leads_from_the_leaf_to_the_root(case):
    size, place = case
    all_of_them = entries(size)
    path = inclusion_path(place, size, nodes_of(all_of_them))
    assert verified_inclusion(leaf_hash(all_of_them[place]), place, size, path) == mth(all_of_them)


def verified_consistency(old, new, old_root, path):
    """The roots of both trees that a path leads to, by RFC 9162, section 2.1.4.2."""
    path = list(path)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    fn, sn = old - 1, new - 1
    while fn % 2 == 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        assert sn != 0
        if fn % 2 == 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return fr, sr


@given(st.integers(1, 70).flatmap(lambda new: st.tuples(st.integers(1, new), st.just(new))))
def test_a_consistency_path_shows_both_roots(case):
    old, new = case
    all_of_them = entries(new)
    path = consistency_path(old, new, nodes_of(all_of_them))
    if old == new:
        assert path == []
        return
    old_root = mth(all_of_them[:old])
    assert verified_consistency(old, new, old_root, path) == (old_root, mth(all_of_them))


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257])
def test_every_event_more_is_another_root(size):
    roots = [root_hash(it, nodes_of([b""] * it)) for it in range(size)]
    assert all(first != second for first, second in pairwise(roots))
