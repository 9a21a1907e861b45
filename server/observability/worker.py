"""What a worker counts, for operators to see."""

from server.observability.calls import CallCounts
from server.observability.catalogue import SERVING
from server.observability.samples import Gauge, Samples, together


class WorkerNumbers:
    """The calls of a worker, and whether it serves."""

    def __init__(self) -> None:
        self.calls = CallCounts()
        self.serving = Gauge(SERVING)

    def samples(self) -> Samples:
        """Return what is known."""
        return together([self.calls.samples, self.serving.samples])
