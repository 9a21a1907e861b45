"""What OpenSC's pkcs11-spy wrote down, read strictly: a line that is not understood is an error.

The form is that of OpenSC 0.23 (Debian 12). The calls must have come one after the other: lines of threads interleave.
What a call that failed left in its output buffers, the spy does not show.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Shown = bytes | str | bool | None


class SpyLogError(Exception):
    """A line is not understood, or does not follow from those before it; the message gives its number, not its text."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a template.

    Attributes:
        name: CKA_*, or its number in hexadecimal where the spy knows no name.
        value: what the spy shows; None if it shows only the size.
        size: in bytes, as the caller or the module gave it; None where the spy shows a word instead.
        is_null: whether there is no place for a value: a question for the size.
    """

    name: str
    value: Shown
    size: int | None
    is_null: bool


Template = tuple[Attribute, ...]
Value = int | str | bytes | Template | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of the module.

    Attributes:
        number: its place in the log, from 0.
        function: its name.
        given: what went in, by the spy's names for it.
        answered: what came out. The spy shows it only if the call succeeded (the attributes asked for: always).
        objects: the handles that a search found.
        rv: the return value, CKR_*; its number where the spy knows no name.
    """

    number: int
    function: str
    given: Mapping[str, Value]
    answered: Mapping[str, Value]
    objects: tuple[int, ...]
    rv: str

    def template(self, name: str = "pTemplate") -> dict[str, Attribute]:
        """Return what was asked for, by name."""
        found = self.given[name]
        assert isinstance(found, tuple)
        return {attribute.name: attribute for attribute in found}

    def templates(self) -> Iterator[tuple[str, Template]]:
        """Return every template, in and out, with the direction."""
        for direction, values in (("in", self.given), ("out", self.answered)):
            yield from ((direction, value) for value in values.values() if isinstance(value, tuple))

    def buffers(self) -> Iterator[bytes]:
        """Return all bytes that crossed, in either direction."""
        for values in (self.given, self.answered):
            yield from (value for value in values.values() if isinstance(value, bytes))
        for _, template in self.templates():
            yield from (attribute.value for attribute in template if isinstance(attribute.value, bytes))

    def handle(self, name: str) -> int:
        """Return a handle or number, given or answered."""
        found = self.answered.get(name, self.given.get(name))
        assert isinstance(found, int)
        return found


_HEAD = ("", "", "*************** OpenSC PKCS#11 spy *****************")
_LOADED = re.compile(r'Loaded: "[^"]+"')
_ENTRY = re.compile(r"(\d+): (C_[A-Za-z]+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
_RETURNED = re.compile(r"Returned:  (\d+) (?:(CKR_[A-Z_0-9]+)|\(null\))")
_SCALAR = re.compile(r"\[(in|out)\] (\S+) = (?:(0x[0-9a-f]+)|(\(nil\))|(\d+)|(CK[A-Z]_\w+)) *")
_BUFFER = re.compile(r"\[(in|out)\] (\S+) [0-9a-f]{16} / (\d+)")
_NO_BUFFER = re.compile(r"\[(in|out)\] (\S+) NULL \[size : 0x[0-9a-f]+ \(\d+\)\]")
_TEMPLATE = re.compile(r"\[(in|out)\] (\w+)\[(\d+)\]: ")
_STRUCTURE = re.compile(r"\[out\] (pInfo|pSlotList): ")
_OBJECT = re.compile(r"Object 0x([0-9a-f]+) matches")
_ROW = re.compile(r"    ([0-9A-F]{8})  ((?:[0-9A-F]{2} )*) *")
_ROW_SIZE = 16
_ROW_WIDTH = 4 + 8 + 2 + 3 * _ROW_SIZE + 1 + _ROW_SIZE
_ATTRIBUTE = re.compile(r"    (?:(CKA_[A-Z]\w*)|CKA_\? \(0x([0-9a-f]{8})\)) +(\S.*)")
_PLACE = re.compile(r"([0-9a-f]{16}) / (-?\d+)")
_WORD = re.compile(r"(True|False|CK[A-Z]_\w+) *")
_GROUPS = re.compile(r"    ((?:[0-9A-F]{8} )*[0-9A-F]{2,8})")
_DETAILS = {
    "C_Initialize": re.compile(r" {5}flags: \d+| {7}CKF_\w+"),
    "C_GetSlotList": re.compile(r"Slot \d+|Count is \d+"),
    "C_GetTokenInfo": re.compile(r" {6}\w+: +('[^']*'|[-0-9a-f.]+)| {8}CKF_\w+ *"),
    "C_GetSessionInfo": re.compile(r" {6}\w+: +[0-9a-f]+( \( *CKS_\w+\))?| {8}CKF_\w+ *"),
}
"""Facts of the library, the slots and the sessions: small numbers and fixed words, kept no further."""
_BOOLEANS = {"True": True, "False": False}


@dataclass(slots=True)
class _Reader:
    lines: list[str]
    place: int = 0
    given: dict[str, Value] = field(default_factory=dict)
    answered: dict[str, Value] = field(default_factory=dict)

    def fail(self, why: str) -> SpyLogError:
        return SpyLogError(f"line {self.place + 1}: {why}")

    @property
    def line(self) -> str:
        if self.place >= len(self.lines):
            raise self.fail("the log ends in the middle of a call")
        return self.lines[self.place]

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the match of the present line and go on; None, without going on, if it does not match."""
        found = pattern.fullmatch(self.line)
        self.place += found is not None
        return found

    def demand(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = self.match(pattern)
        if found is None:
            raise self.fail(f"is not {what}")
        return found

    # From here on, each reads one thing and leaves the place behind it.

    def head(self) -> None:
        for line in _HEAD:
            self.demand(re.compile(re.escape(line)), "the head of a log")
        self.demand(_LOADED, "the name of the module")

    def call(self, number: int) -> Call:
        self.demand(re.compile(""), "empty")
        entry = self.demand(_ENTRY, "the name of a function")
        if int(entry[1]) != number:
            raise self.fail(f"is call {entry[1]} where {number} was due")
        self.demand(_TIME, "a time")
        self.given, self.answered = {}, {}
        objects: list[int] = []
        while not (returned := self.match(_RETURNED)):
            if found := self.match(_OBJECT):
                objects.append(int(found[1], 16))
            elif not self._parameter() and not self._detail(entry[2]):
                raise self.fail("is not understood")
        return Call(number, entry[2], self.given, self.answered, tuple(objects), returned[2] or returned[1])

    def _detail(self, function: str) -> bool:
        return function in _DETAILS and self.match(_DETAILS[function]) is not None

    def _parameter(self) -> bool:
        if found := self.match(_SCALAR):
            _, _, hexadecimal, null, number, word = found.groups()
            self._keep(found, word or (0 if null else int(hexadecimal or number, 0)))
        elif found := self.match(_BUFFER):
            self._keep(found, self._rows(int(found[3])))
        elif found := self.match(_NO_BUFFER):
            self._keep(found, None)
        elif found := self.match(_TEMPLATE):
            self._keep(found, tuple(self._attribute() for _ in range(int(found[3]))))
        else:
            return self.match(_STRUCTURE) is not None
        return True

    def _keep(self, found: re.Match[str], value: Value) -> None:
        values = self.given if found[1] == "in" else self.answered
        if found[2] in values:
            raise self.fail(f"gives {found[2]} a second time")
        values[found[2]] = value

    def _attribute(self) -> Attribute:
        found = self.demand(_ATTRIBUTE, "an attribute")
        name = found[1] or f"0x{int(found[2], 16):x}"
        if word := _WORD.fullmatch(found[3]):
            return Attribute(name, _BOOLEANS.get(word[1], word[1]), None, is_null=False)
        place = _PLACE.fullmatch(found[3])
        if place is None:
            raise self.fail(f"shows {name} in a way that is not understood")
        size = int(place[2])
        value: Shown = None
        if _ROW.match(self.line):
            value = self._rows(size)
        elif groups := self.match(_GROUPS):
            value = self._text(groups[1], size)
        return Attribute(name, value, size, is_null=int(place[1], 16) == 0)

    def _rows(self, size: int) -> bytes:
        """Return the bytes of a dump in rows: offset, hexadecimal, ASCII."""
        value = b""
        for offset in range(0, max(1, size), _ROW_SIZE):
            found = _ROW.match(self.line)
            if found is None or len(self.line) != _ROW_WIDTH or int(found[1], 16) != offset:
                raise self.fail("is not the next row of a dump")
            row = bytes.fromhex(found[2])
            if self.line[-_ROW_SIZE:] != _ascii(row) or len(row) != min(_ROW_SIZE, size - offset):
                raise self.fail("is a row of a dump that contradicts itself")
            value += row
            self.place += 1
        return value

    def _text(self, groups: str, size: int) -> bytes:
        """Return the bytes of a text, shown in groups of four and as ASCII below; up to 31 of them."""
        value = bytes.fromhex(groups)
        ascii_below = "".join(" " * (at % 4 == 0 and at > 0) + " " + _sign(byte, 33) for at, byte in enumerate(value))
        if len(value) != size or self.line != "    " + ascii_below:
            raise self.fail("is a text that contradicts itself")
        self.place += 1
        return value


def _sign(byte: int, lowest: int) -> str:
    return chr(byte) if lowest <= byte < 128 else "."


def _ascii(row: bytes) -> str:
    return "".join(_sign(byte, 32) for byte in row).ljust(_ROW_SIZE)


def parse(log: bytes) -> list[Call]:
    """Return all calls in a log.

    Raises:
        SpyLogError: something in it is not understood.
    """
    lines = log.decode("latin-1").split("\n")
    if lines.pop():
        raise SpyLogError("the last line has no end")
    reader = _Reader(lines)
    reader.head()
    calls: list[Call] = []
    while reader.place < len(lines):
        calls.append(reader.call(len(calls)))
    return calls
