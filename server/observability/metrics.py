"""Whether metrics are wanted: the endpoint, and what it needs, is loaded only then."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from server.observability.samples import Source


class MetricsError(Exception):
    """The metrics cannot be served; the message says why."""


class Watch(Protocol):
    """Somebody who wants to know how processes fare."""

    def environment(self, process: str) -> dict[str, str]:
        """Return what the process is to have in its environment."""

    def started(self, process: str) -> None:
        """Note that it was started."""

    def ended(self, process: str, status: int) -> None:
        """Note that it has ended by itself."""


class Unwatched:
    """Takes the place of a watch where nobody wants metrics."""

    def environment(self, process: str) -> dict[str, str]:  # noqa: ARG002 - as the protocol has it
        """Return nothing."""
        return {}

    def started(self, process: str) -> None:
        """Do nothing."""

    def ended(self, process: str, status: int) -> None:
        """Do nothing."""


@contextmanager
def watching(address: str | None, sources: Sequence[Source]) -> Iterator[Watch]:
    """Serve metrics at host:port for a block, unless that is None.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    if address is None:
        yield Unwatched()
        return
    from server.observability.endpoint import served  # noqa: PLC0415 - see above

    with served(address, sources) as watched:
        yield watched
