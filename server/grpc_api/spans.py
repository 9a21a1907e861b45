"""What a method is wrapped in when traces are wanted: a span for each of its calls."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import grpc

from server.grpc_api.codes import code_of
from server.observability.tracing import Span, Tracing

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.ServicerContext
R = TypeVar("R")
A = TypeVar("A")


def traced_handler(handler: Handler, tracing: Tracing, service: str, method: str) -> Handler:
    """Return what answers a method, with a span around each call."""

    def begin(context: Context) -> Span:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        return tracing.begin(service, method, metadata)

    coding = handler.request_deserializer, handler.response_serializer
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(_answer(handler.unary_unary, begin, tracing), *coding)
    if handler.stream_unary:
        return grpc.stream_unary_rpc_method_handler(_answer(handler.stream_unary, begin, tracing), *coding)
    if getattr(handler.unary_stream, "experimental_non_blocking", False):
        return handler
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, begin, tracing), *coding)
    if handler.stream_stream:
        return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream, begin, tracing), *coding)
    return handler


def _answer(
    behaviour: Callable[[R, Context], A], begin: Callable[[Context], Span], tracing: Tracing
) -> Callable[[R, Context], A]:
    def answer(request: R, context: Context) -> A:
        span = begin(context)
        code: str | None = "UNKNOWN"
        try:
            with tracing.within(span):
                response = behaviour(request, context)
            code = None
        finally:
            tracing.end(span, code_of(context, code))
        return response

    return answer


def _stream(
    behaviour: Callable[[R, Context], Iterator[A]], begin: Callable[[Context], Span], tracing: Tracing
) -> Callable[[R, Context], Iterator[A]]:
    # Its steps have no spans: a stream may last for hours, and its generator may be closed in another context.
    def stream(request: R, context: Context) -> Iterator[A]:
        span = begin(context)
        code: str | None = "UNKNOWN"
        try:
            yield from behaviour(request, context)
            code = None
        finally:
            tracing.end(span, code_of(context, code))

    return stream
