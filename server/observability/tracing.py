"""Traces for OpenTelemetry, if they are wanted: a span for each call, and one in it for each step at token or database.

A span carries names of methods and codes, the call's id and the reason of a refusal: no names of organisations or keys,
no callers, and no messages of errors. Traces leave the house for systems that others run; by its id a call is found in
the log, which stays. OpenTelemetry is loaded only here, and only when it is asked for.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from server.observability.current_call import current_call

if TYPE_CHECKING:
    import opentelemetry.trace
    from opentelemetry.sdk.trace import TracerProvider

Span: TypeAlias = "opentelemetry.trace.Span"

_log = logging.getLogger(__name__)

_ENVIRONMENT = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PATIENCE = 2.0
"""Seconds that one attempt to hand spans over may take, also at the end of the process."""
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that are the server's fault. Source: OpenTelemetry, semantic conventions for gRPC."""

T = TypeVar("T")


class TracingError(Exception):
    """Traces are wanted, and cannot be made; the message says why."""


class Tracing:
    """Makes spans of one process."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - see above
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._tracer = provider.get_tracer("keystead")
        self._current = trace.get_current_span
        self._use = trace.use_span
        self._kind = trace.SpanKind.SERVER
        self._error = trace.StatusCode.ERROR
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> "Span":
        """Return a new span for a call.

        Args:
            service: its full name.
            method: its name.
            metadata: of the call; `traceparent` in it makes the span part of the caller's trace.
        """
        return self._tracer.start_span(
            f"{service}/{method}",
            context=self._propagator.extract(metadata),
            kind=self._kind,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )

    def within(self, span: "Span") -> AbstractContextManager["Span"]:
        """Have the span be that of the present thread for a block: steps belong to it."""
        return self._use(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def end(self, span: "Span", code: str | None) -> None:
        """End the span of a call with the code's name; None for OK."""
        span.set_attribute("rpc.response.status_code", code or "OK")
        call = current_call()
        if call is not None:
            span.set_attribute("keystead.call_id", call.id)
            if call.reason:
                span.set_attribute("keystead.reason", call.reason)
        if code in _SERVER_FAULTS:
            span.set_status(self._error)
        span.end()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Have a span for a part of a call; none where no call is under way."""
        if not self._current().get_span_context().is_valid:
            yield
            return
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False):
            yield

    def steps_of(self, part: T, name: str) -> T:
        """Return the part of the service, each of whose methods is a step of this name and its own."""
        return cast("T", _Steps(self, part, name))


class _Steps:
    """Stands before a part, and makes a step of each call of it; of a block, for as long as the block lasts."""

    def __init__(self, tracing: Tracing, part: object, name: str) -> None:
        self._tracing = tracing
        self._part = part
        self._name = name

    def __getattr__(self, method: str) -> object:
        found = getattr(self._part, method)
        if not callable(found):
            return found
        step = f"{self._name} {method}"

        def call(*arguments: object, **named: object) -> object:
            with self._tracing.step(step):
                result = found(*arguments, **named)
            return self._block(step, result) if isinstance(result, AbstractContextManager) else result

        return call

    @contextmanager
    def _block(self, step: str, block: AbstractContextManager[T]) -> Iterator[T]:
        with self._tracing.step(step), block as opened:
            yield opened


@contextmanager
def traced(endpoint: str | None, process: str) -> Iterator[Tracing | None]:
    """Have traces for a block, or None if nobody wants any.

    Args:
        endpoint: where to send them by OTLP over gRPC; None if the environment variables of OpenTelemetry may say it.
        process: the name of the process.

    Raises:
        TracingError: OpenTelemetry is not installed.
    """
    if endpoint is None and not any(os.environ.get(name) for name in _ENVIRONMENT):
        yield None
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        if endpoint is not None:
            raise TracingError("tracing.endpoint is set, but OpenTelemetry is not installed: install keystead[otel].")
        # The variables may be there for other services.
        _log.warning("tracing_not_installed")
        yield None
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - likewise

    resource = Resource.create({"service.name": "keystead", "service.instance.id": process})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_PATIENCE)))
    try:
        yield Tracing(provider)
    finally:
        provider.shutdown()
