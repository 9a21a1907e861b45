"""What the processes write to standard error passes the supervisor, so that the log holds JSON also of libraries.

gRPC's core writes lines of its own, above all about failed TLS handshakes; so does the interpreter when it crashes. A
pipe within the process itself would lose just these last lines.
"""

import logging
import re
import sys
import threading
from contextlib import suppress
from typing import IO

_log = logging.getLogger(__name__)

_LONGEST = 64 * 1024
"""Bytes of a line; what is longer becomes several."""
_AS_IT_IS = (b"{", b"keystead: ")
"""Lines of our own: of the log, and the one that tells a person why a process ended."""
_GLOG = re.compile(r"([IWEF])\d{4} [\d:.]+ +\d+ ([\w.]+:\d+)\] ", re.ASCII)
"""Severity, time, thread and place, as gRPC's core writes them."""
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}


def relay(child: str, stream: IO[bytes]) -> threading.Thread:
    """Pass on what a process writes, until it ends; return the thread that does it."""
    thread = threading.Thread(target=_run, args=(child, stream), name=f"relay {child}", daemon=True)
    thread.start()
    return thread


def _run(child: str, stream: IO[bytes]) -> None:
    with stream:
        while line := stream.readline(_LONGEST):
            if not line.startswith(_AS_IT_IS):
                _tell(child, line.decode("utf-8", "backslashreplace").rstrip())
                continue
            with suppress(OSError):  # Whoever reads the log is gone; the process must not wait for that.
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()


def _tell(child: str, text: str) -> None:
    found = _GLOG.match(text)
    level = _LEVELS[found[1]] if found else logging.WARNING
    event = "handshake_failed" if "Handshake failed" in text else "library_wrote"
    place = {"place": found[2]} if found else {}
    _log.log(level, event, extra={"child": child, "text": text[found.end() if found else 0 :], **place})
