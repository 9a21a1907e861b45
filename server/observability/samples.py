"""Numbers of one process, and how it tells them: a small file each second, which the endpoint reads.

A file, not a socket: whoever asks for the numbers never waits for a process that is stuck.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.observability.catalogue import PROCESS_CPU, PROCESS_MEMORY, Metric

_log = logging.getLogger(__name__)

PUBLISHED_IN = "KEYSTEAD_PUBLISHED_IN"
"""The environment variable with the path of a process's file; its stem is the name of the process."""

Labels = tuple[str, ...]
Value = float | list[float]
"""Of a histogram: the times counted in each bucket, the last for those beyond all bounds, then the sum of all times."""
Samples = dict[str, dict[Labels, Value]]
"""By name and labels; numbers of a process alone, without the label `process`."""
Source = Callable[[], Samples]


class Tally:
    """Counts events of many threads by their labels.

    What is known to happen is shown as 0 before it happens: a growth from nothing to 1 is no growth to Prometheus.
    """

    def __init__(self, metric: Metric, *known: Labels) -> None:
        self._metric = metric
        self._lock = threading.Lock()
        self._counts: dict[Labels, float] = dict.fromkeys(known, 0.0)

    def add(self, *labels: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0.0) + 1

    def samples(self) -> Samples:
        """Return the counts."""
        with self._lock:
            return {self._metric.name: dict(self._counts)}


@dataclass(slots=True)
class Gauge:
    """A number that is shown once it is known."""

    metric: Metric
    value: float | None = None

    def set(self, value: float) -> None:
        """Show this from now on."""
        self.value = value

    def samples(self) -> Samples:
        """Return the number, if it is known."""
        return {} if self.value is None else {self.metric.name: {(): self.value}}


def of_this_process() -> Samples:
    """Return what every process can tell of itself."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        PROCESS_MEMORY.name: {(): float(pages * os.sysconf("SC_PAGE_SIZE"))},
        PROCESS_CPU.name: {(): time.process_time()},
    }


def together(sources: Sequence[Source]) -> Samples:
    """Return what all sources tell; each tells other metrics."""
    return {name: rows for source in sources for name, rows in source().items()}


@dataclass(slots=True)
class Publisher:
    """Writes a process's numbers to its file."""

    path: Path
    sources: Sequence[Source]
    _has_failed: bool = field(default=False, init=False)

    def publish(self) -> None:
        """Write them, whole or not at all."""
        rows = [(name, list(values.items())) for name, values in together(self.sources).items()]
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(rows))
            fresh.replace(self.path)
        except OSError as error:
            if not self._has_failed:
                _log.warning("metrics_not_published", extra={"detail": error.strerror})
            self._has_failed = True
        else:
            self._has_failed = False


def published_in(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of this process; None if nobody wants its numbers."""
    path = environment.get(PUBLISHED_IN)
    return Path(path) if path else None


def read(path: Path) -> Samples:
    """Return what a process has published; nothing if it has not, or is no more.

    The file is our own process's, in a folder of ours: it is believed.
    """
    try:
        text = path.read_text()
    except OSError:
        return {}
    return {name: {tuple(labels): value for labels, value in values} for name, values in json.loads(text)}
