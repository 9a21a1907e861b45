"""A command at a terminal: what it shows is read as it comes, and answers are typed."""

import codecs
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.service import PATIENCE


class Terminal:
    """A running command, and the screen in front of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", screen: int) -> None:
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.process = process
        self.shown = ""

    def reads(self, text: str) -> str:
        """Wait until the text is there, and return all that is."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), f"the command ended, and never showed {text!r}:\n{self.shown}"
        return self.shown

    def types(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def ends(self) -> int:
        """Wait until the command ends, and return its status; all that it showed is in `shown`."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], PATIENCE)
        assert ready, f"nothing more is shown:\n{self.shown}"
        try:
            found = os.read(self._screen, 65536)
        except OSError:  # The other side is closed.
            return False
        self.shown = (self.shown + self._decoder.decode(found)).replace("\r\n", "\n")
        return bool(found)


@contextmanager
def terminal(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], columns: int = 100) -> Iterator[Terminal]:
    """Run a command at a terminal of so many columns for a block."""
    screen, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    mine = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**mine, "TERM": "xterm"},
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,  # What asks for a PIN would otherwise ask at the terminal of the tests.
    )
    os.close(inside)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)
