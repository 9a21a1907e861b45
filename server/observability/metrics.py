"""Metrics of a process, for Prometheus to fetch. No organisation, key or other id is ever a label."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge, start_http_server


class MetricsError(Exception):
    """The metrics cannot be served; the message says why."""


class StewardGauges:
    """What the steward finds out."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rotations_due = Gauge(
            "keystead_rotations_due",
            "Uploaded main keys in charge for longer than a year: their owners should replace them.",
            registry=registry,
        )
        self.main_keys_missing = Gauge(
            "keystead_main_keys_missing",
            "Main keys whose object is missing in the token, at the last reconciliation.",
            registry=registry,
        )
        self.objects_unknown = Gauge(
            "keystead_token_objects_unknown",
            "Keys in the token that no row knows, at the last reconciliation.",
            registry=registry,
        )


@contextmanager
def served(address: str | None) -> Iterator[StewardGauges]:
    """Have the gauges for a block, and serve them at host:port unless that is None.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    registry = CollectorRegistry()
    gauges = StewardGauges(registry)
    if address is None:
        yield gauges
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, ValueError, OverflowError) as error:
        raise MetricsError(f"metrics.address {address} cannot be listened on: {error}") from error
    try:
        yield gauges
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
