"""Bytes and texts that were good once, made by hypothesis: cut, changed, longer, and with other values."""

from hypothesis import strategies as st

_NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 1e308, float("inf"), float("nan")])
_WORDS = [
    "[]",
    "{}",
    "-1",
    "0",
    "1e400",
    "inf",
    "nan",
    "true",
    '""',
    '"\\u0000"',
    '"x"',
    '["x"]',
    "1979-05-27",
    '"P1D"',
]
_WORDS += ['"' + "x" * 3000 + '"', '"99999999999999999999999D"', "999999999999999999999", '"PT1e400S"', '"https://["']


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Return what is left of something good: cut, with some bytes changed, or with more in it anywhere."""
    places = st.integers(0, len(good))
    cut = places.map(lambda it: good[:it])
    changes = st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    more = st.tuples(places, st.binary(min_size=1, max_size=8)).map(lambda it: good[: it[0]] + it[1] + good[it[0] :])
    return (cut | changes.map(lambda it: _changed(good, it)) | more).filter(lambda it: it != good)


def _changed(good: bytes, changes: list[tuple[int, int]]) -> bytes:
    edited = bytearray(good)
    for place, byte in changes:
        edited[place] = byte
    return bytes(edited)


def json_values() -> st.SearchStrategy[object]:
    """Return any value that JSON has, and numbers that Python alone writes, none of it deep."""
    flat = st.none() | st.booleans() | _NUMBERS | st.text(max_size=20)
    return st.recursive(
        flat, lambda it: st.lists(it, max_size=3) | st.dictionaries(st.text(max_size=5), it, max_size=3), max_leaves=6
    )


def words() -> st.SearchStrategy[str]:
    """Return values as a file or a variable has them, most of them out of place."""
    return st.sampled_from(_WORDS)


def toml_lines(text: str) -> st.SearchStrategy[bytes]:
    """Return a TOML file with lines left out, doubled, or with another value."""
    lines = [it for it in text.splitlines() if it]
    others = [f"{line.partition(' = ')[0]} = {value}" for line in lines if " = " in line for value in _WORDS]
    changes = st.lists(
        st.tuples(st.integers(0, len(lines) - 1), st.none() | st.sampled_from(lines) | st.sampled_from(others)),
        min_size=1,
        max_size=3,
    )
    return changes.map(lambda it: _with_lines(lines, it))


def _with_lines(lines: list[str], changes: list[tuple[int, str | None]]) -> bytes:
    edited: list[str | None] = [*lines]
    for place, line in changes:
        # A value of its own key, as often as one of another's: that is what a reader has to see through.
        edited[place] = line
    return "\n".join(it for it in edited if it is not None).encode()
