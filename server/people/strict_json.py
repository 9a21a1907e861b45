"""JSON without what parsers disagree about: names that come twice, NaN, other encodings than UTF-8."""

import json
from typing import NoReturn


def parse_object(text: bytes) -> dict[str, object]:
    """Return the JSON object that the text is.

    Raises:
        ValueError: it is none, or one that could be read in two ways.
    """
    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(parsed, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - the text is wrong, not our types
    return parsed


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
