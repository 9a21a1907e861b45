"""Where Prometheus fetches the metrics of one machine: the supervisor's endpoint over the files of its processes.

The processes do not serve their numbers themselves: a scrape would reach one of them by chance. What a process had
counted is kept when it ends, so that counters never fall while the service runs.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from typing_extensions import override

from server.observability.catalogue import (
    BOUNDS,
    BUILD_INFO,
    METRICS,
    PROCESS_EXITS,
    PROCESS_SILENT,
    PROCESS_STARTS,
    PROCESS_UP,
    Kind,
    Metric,
)
from server.observability.metrics import MetricsError
from server.observability.samples import PUBLISHED_IN, Labels, Samples, Source, Tally, Value, read, together

_SUPERVISOR = "supervisor"
_BY_NAME = {metric.name: metric for metric in METRICS}
_BUCKETS = [*map(str, BOUNDS), "+Inf"]


def _sum(one: Value | None, other: Value) -> Value:
    if one is None:
        return other
    if isinstance(one, list) and isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return _number(one) + _number(other)


def _number(value: Value) -> float:
    if isinstance(value, list):
        raise TypeError("a histogram where a number should be")
    return value


def _add(total: Samples, process: str, samples: Samples) -> None:
    for name, rows in samples.items():
        metric = _BY_NAME[name]
        sums = total.setdefault(name, {})
        for labels, value in rows.items():
            all_labels = (process, *labels) if metric.is_each else labels
            sums[all_labels] = _sum(sums.get(all_labels), value)


def _family(metric: Metric, rows: dict[Labels, Value]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.all_labels)
        for labels, value in rows.items():
            *times, seconds = value if isinstance(value, list) else [value]
            histogram.add_metric(labels, list(zip(_BUCKETS, accumulate(times), strict=True)), seconds)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.all_labels)
    for labels, value in rows.items():
        family.add_metric(labels, _number(value))
    return family


class Watched(Collector):
    """The processes of a supervisor, and what they tell."""

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        """Read the processes' files in a folder, and what the supervisor itself counts."""
        self._folder = folder
        self._sources = sources
        self._lock = threading.Lock()
        self._running: dict[str, bool] = {}
        self._past: Samples = {}
        self._starts: dict[str, Tally] = {}
        self._exits: dict[str, Tally] = {}

    def environment(self, process: str) -> dict[str, str]:
        """Return what a process needs to know of us."""
        return {PUBLISHED_IN: str(self._file(process))}

    def _file(self, process: str) -> Path:
        return self._folder / f"{process}.json"

    def started(self, process: str) -> None:
        """Note that the process was started."""
        with self._lock:
            self._running[process] = True
            self._starts.setdefault(process, Tally(PROCESS_STARTS)).add()

    def ended(self, process: str, status: int) -> None:
        """Note that the process has ended; what it counted is kept, what it measured is not."""
        with self._lock:
            self._running[process] = False
            self._exits.setdefault(process, Tally(PROCESS_EXITS)).add(str(status))
            file = self._file(process)
            told = read(file)
            kept = {name: rows for name, rows in told.items() if _BY_NAME[name].kind is not Kind.GAUGE}
            _add(self._past, process, kept)
            file.unlink(missing_ok=True)

    @override
    def collect(self) -> Iterator[Family]:
        with self._lock:
            total: Samples = {}
            for name, rows in self._past.items():
                total[name] = dict(rows)
            _add(total, _SUPERVISOR, together(self._sources))
            for process, is_running in self._running.items():
                _add(total, process, {PROCESS_UP.name: {(): float(is_running)}})
                _add(total, process, self._told(process) if is_running else {})
            for tallies in (self._starts, self._exits):
                for process, tally in tallies.items():
                    _add(total, process, tally.samples())
        _add(total, _SUPERVISOR, {BUILD_INFO.name: {(_version(),): 1.0}})
        for metric in METRICS:
            yield _family(metric, total.get(metric.name, {}))

    def _told(self, process: str) -> Samples:
        file = self._file(process)
        with suppress(OSError):  # It is so new that it has told nothing.
            silent = max(0.0, time.time() - file.stat().st_mtime)
            return {**read(file), PROCESS_SILENT.name: {(): silent}}
        return {}


def _version() -> str:
    try:
        return metadata.version("keystead")
    except metadata.PackageNotFoundError:
        return "unknown"


@contextmanager
def served(address: str, sources: Sequence[Source]) -> Iterator[Watched]:
    """Serve metrics at host:port for a block.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    with tempfile.TemporaryDirectory(prefix="keystead-metrics-") as folder:  # Nobody else can look into it.
        watched = Watched(Path(folder), sources)
        registry = CollectorRegistry()
        registry.register(watched)
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), registry)
        except (OSError, ValueError, OverflowError) as error:
            raise MetricsError(f"metrics.address {address} cannot be listened on: {error}") from error
        try:
            yield watched
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
