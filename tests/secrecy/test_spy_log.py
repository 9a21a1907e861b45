"""The reader of the spy's log takes nothing that it does not understand."""

import pytest

from tests.support.spy_log import SpyLogError, parse


@pytest.fixture
def text(recording):
    """The first calls of the recording: those of a login, of a canary and of a first key."""
    lines = recording.text.split(b"\n")
    end = next(place for place, line in enumerate(lines) if line.startswith(b"25: "))
    return b"\n".join(lines[: end - 1]) + b"\n"


def changed(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


def test_a_whole_log_is_taken(text):
    assert [call.number for call in parse(text)] == list(range(25))


@pytest.mark.parametrize("stranger", [b"key: 00112233445566778899AABBCCDDEEFF", b"    00 11 22 33 44 55 66 77", b"-"])
def test_a_line_that_is_not_understood_is_refused_wherever_it_stands(text, stranger):
    lines = text.split(b"\n")
    for place in range(len(lines)):
        with pytest.raises(SpyLogError):
            parse(b"\n".join([*lines[:place], stranger, *lines[place:]]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n3: C_", b"\n4: C_"),  # A call is lost, or two threads were at work.
        (b"\n    00000010  ", b"\n    00000020  "),  # A row of a dump is lost.
        (b"63 61 6E 61 72 79 ", b"63 61 6E 61 72 78 "),  # A byte and its sign contradict each other.
        (b" / 6\n", b" / 7\n"),  # A dump is shorter than its size.
        (b" / 17\n", b" / 18\n"),  # A text is.
        (b"k e y s  t e a d", b"k e y s  t e a t"),
        (b"pTemplate[20]", b"pTemplate[21]"),  # An attribute is lost,
        (b"pTemplate[20]", b"pTemplate[19]"),  # or one too many.
        (b"hSession = 0x1\n", b"hSession = 0x1 and more\n"),
        (b"CKM_AES_KEY_GEN ", b"Value 1080 not found for type "),
        (b"[in] hObject", b"[in] hSession"),  # Something is given twice.
    ],
)
def test_a_log_that_contradicts_itself_is_refused(text, old, new):
    with pytest.raises(SpyLogError):
        parse(changed(text, old, new))


@pytest.mark.parametrize("cut", [1, 2, 20, 200])
def test_a_log_that_was_cut_off_is_refused(text, cut):
    with pytest.raises(SpyLogError):
        parse(text[:-cut])
