"""What is counted on the way: calls of the module's functions, by function and return value; never ids or values."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hsm_adapter.constants import Rv

_NAMES = {int(rv): f"CKR_{rv.name}" for rv in Rv}


def name_of(rv: int) -> str:
    """Return the name of a return value; a number in hexadecimal for what the standard does not know."""
    return _NAMES.get(rv) or f"CKR 0x{rv:X}"


@dataclass(frozen=True, slots=True)
class HsmStatistics:
    """How it goes with a token, in numbers.

    Attributes:
        calls: how often a function returned a value, by both their names.
        seconds: how long a function took altogether, by its name.
        sessions_in_use: sessions that are leased now.
        sessions_idle: open sessions that wait for somebody.
        pin_refused: whether the token refused the PIN that is in the file now, so that it is not tried again.
    """

    calls: Mapping[tuple[str, str], int]
    seconds: Mapping[str, float]
    sessions_in_use: int
    sessions_idle: int
    pin_refused: bool


class _Function:
    """The calls of one function."""

    __slots__ = ("others", "seconds", "successes")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.successes = 0
        self.others: dict[int, int] = {}


class CallCounts:
    """The calls of one module, made by any thread."""

    def __init__(self, functions: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._functions = {name: _Function() for name in functions}

    def add(self, function: str, rv: int, seconds: float) -> None:
        """Count a call that has returned."""
        counted = self._functions[function]
        with self._lock:
            counted.seconds += seconds
            if rv:
                counted.others[rv] = counted.others.get(rv, 0) + 1
            else:
                counted.successes += 1

    def so_far(self) -> tuple[dict[tuple[str, str], int], dict[str, float]]:
        """Return the calls by function and return value, and the seconds by function; of those that were called."""
        calls: dict[tuple[str, str], int] = {}
        seconds: dict[str, float] = {}
        with self._lock:
            for name, counted in self._functions.items():
                results = {Rv.OK: counted.successes, **counted.others}
                calls |= {(name, name_of(rv)): count for rv, count in results.items() if count}
                if any(results.values()):
                    seconds[name] = counted.seconds
        return calls, seconds
