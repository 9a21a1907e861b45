"""A TCP connection that can fail in the ways in which networks do: held up, refused, or lost without a word."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing tells the other side of an error."""


class Wire:
    """Passes bytes on between its own port and another, both of loopback."""

    def __init__(self, port: int) -> None:
        self._there = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_open = threading.Event()
        """Of the connections that there are now; those that were lost have one that is never set."""
        self._is_open.set()
        self._refuses = False
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = 0
        """That were taken."""

    def hold(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._is_open.clear()

    def release(self) -> None:
        """Pass on what was held, and all else."""
        self._refuses = False
        self._is_open.set()

    def refuse(self) -> None:
        """Break all connections, and those to come."""
        self._refuses = True
        self._break()

    def lose(self) -> None:
        """Never pass on anything again of the connections that there are; those to come work."""
        with self._lock:
            self._is_open.clear()
            self._is_open = threading.Event()
            self._is_open.set()

    def _break(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def run(self) -> None:
        """Take connections until the wire is closed."""
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._ends.append(here)
                self.connections += 1
            if self._refuses:
                self._break()
                continue
            try:
                there = socket.create_connection(self._there)
            except OSError:  # Nobody is there, and so it seems here.
                here.close()
                continue
            with self._lock:
                self._ends.append(there)
                is_open = self._is_open
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(source, sink, is_open), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # Wakes who accepts.
        self._listener.close()
        self._break()


def _pump(source: socket.socket, sink: socket.socket, is_open: threading.Event) -> None:
    with suppress(OSError):
        while some := source.recv(_CHUNK):
            is_open.wait()
            sink.sendall(some)
        is_open.wait()
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Have a wire to a port for a block."""
    wire = Wire(port)
    threading.Thread(target=wire.run, daemon=True).start()
    try:
        yield wire
    finally:
        wire.close()
