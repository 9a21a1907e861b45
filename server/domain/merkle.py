"""The Merkle tree over an organisation's events: the hashes of RFC 6962, section 2.1, with SHA-256.

Rules kept here:
- The hash of a leaf begins with 0x00 and that of two halves with 0x01, so that neither passes for the other.
- A tree of n leaves is split at the largest power of two below n; so its left half never changes when it grows.
- Nothing here knows where hashes come from: a `Nodes` answers those of complete subtrees, of 2^level leaves each.
"""

import hashlib
from collections.abc import Callable

HASH_SIZE = 32

Nodes = Callable[[int, int], bytes]
"""Returns the hash of the complete subtree of 2^level leaves at a place among those, counted from 0."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two halves."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_hash(size: int, nodes: Nodes) -> bytes:
    """Return the root of a tree of so many leaves."""
    return hashlib.sha256().digest() if size == 0 else _range_hash(0, size, nodes)


def inclusion_path(place: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the hashes that lead from a leaf to the root, the nearest first.

    Source: RFC 6962, section 2.1.1.

    Args:
        place: of the leaf, 0 to size - 1.
        size: of the tree.
        nodes: the hashes of subtrees.
    """
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if place < middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency_path(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Return the hashes that show that a tree has only grown.

    Source: RFC 6962, section 2.1.2.

    Args:
        old: leaves of the smaller tree, 1 to new.
        new: leaves of the larger tree.
        nodes: the hashes of subtrees.
    """
    path: list[bytes] = []
    start, end = 0, new
    is_whole = True
    """Whether what is left of the old tree is the old tree itself, whose root the verifier knows."""
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(start, middle, nodes))
            start, is_whole = middle, False
    if not is_whole:
        path.append(_range_hash(start, end, nodes))
    return path[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below a size of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(start: int, end: int, nodes: Nodes) -> bytes:
    size = end - start
    if size & (size - 1) == 0 and start % size == 0:
        return nodes(size.bit_length() - 1, start // size)
    middle = start + _split(size)
    return node_hash(_range_hash(start, middle, nodes), _range_hash(middle, end, nodes))
