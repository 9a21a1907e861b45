"""A collector of OpenTelemetry: a real receiver of OTLP over gRPC on this machine, which keeps what it is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import override


class Collector(TraceServiceServicer):
    """What was received."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.endpoint = ""

    @override
    def Export(self, request, context):
        self.requests.append(request)
        return ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, end: str) -> list[Span]:
        return [span for span in self.spans() if span.name.endswith(end)]

    def everything(self) -> bytes:
        return b"".join(request.SerializeToString() for request in self.requests)


def attributes(span: Span) -> dict[str, str]:
    return {it.key: it.value.string_value for it in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(4))
    collector = Collector()
    add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
