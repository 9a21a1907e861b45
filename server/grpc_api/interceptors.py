"""What every call passes on its way in: it gets an id, and is counted; changes are logged, and refusals recorded."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import grpc
from typing_extensions import override

from server.grpc_api.changes import log_change
from server.grpc_api.codes import code_of
from server.grpc_api.refusals import is_change, refusal_of, request_id_of
from server.grpc_api.spans import traced_handler
from server.observability.calls import CallCounts, MethodCalls
from server.observability.current_call import CurrentCall, begin_call, current_call
from server.observability.tracing import Tracing
from server.use_cases import Refusal

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Details = grpc.HandlerCallDetails
Context = grpc.ServicerContext
R = TypeVar("R")
A = TypeVar("A")


class Observer(grpc.ServerInterceptor):
    """Counts calls, those that wait for a thread included in their times.

    What a method is wrapped in is made once, at its first call, and whatever comes behind this is asked only then.
    Calls of methods that do not exist are not counted.
    """

    def __init__(
        self, counts: CallCounts, tracing: Tracing | None, refused: Callable[[Refusal], None], unknown: Handler
    ) -> None:
        """Have seen no call yet.

        Args:
            counts: what is counted.
            tracing: makes traces of calls, if they are wanted.
            refused: is told what is to be recorded of refusals.
            unknown: what answers methods that do not exist.
        """
        self._counts = counts
        self._tracing = tracing
        self._refused = refused
        self._unknown = unknown
        self._observed: dict[str, Handler] = {}

    @override
    def intercept_service(
        self, continuation: "Callable[[Details], Handler | None]", details: Details
    ) -> "Handler | None":
        begin_call(details.invocation_metadata)
        observed = self._observed.get(details.method)
        if observed is None:
            handler = continuation(details)
            if handler is None or handler is self._unknown:
                return handler
            observed = self._observed[details.method] = self._observe(details.method, handler)
        return observed

    def _observe(self, name: str, handler: Handler) -> Handler:
        _, service, method = name.split("/")
        if self._tracing is not None:
            handler = traced_handler(handler, self._tracing, service, method)
        counts = self._counts.of(service, method)
        coding = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            noted = _Noted(method, self._refused, changes=is_change(f"{service}.{method}"))
            behaviour = _answer(handler.unary_unary, counts, noted)
            return grpc.unary_unary_rpc_method_handler(behaviour, *coding)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(_answer(handler.stream_unary, counts), *coding)
        if getattr(handler.unary_stream, "experimental_non_blocking", False):
            return handler  # Health's Watch: it is over for its thread as soon as it has begun.
        if handler.unary_stream:
            noted = _Noted(method, self._refused, changes=False)
            return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, counts, noted), *coding)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream, counts), *coding)
        return handler


class _Noted:
    """What is written down of the calls of one method.

    Attributes:
        changes: whether the method changes anything.
    """

    def __init__(self, method: str, refused: Callable[[Refusal], None], *, changes: bool) -> None:
        self._method = method
        self._refused = refused
        self.changes = changes

    def ended(self, request: Any, call: CurrentCall, code: str | None) -> None:  # noqa: ANN401 - whichever message the method takes
        if self.changes:
            log_change(self._method, request, call, code or "OK")
        if call.reason:
            refusal = refusal_of(self._method, request, call, changes=self.changes)
            if refusal is not None:
                self._refused(refusal)


def _answer(
    behaviour: Callable[[R, Context], A], counts: MethodCalls, noted: _Noted | None = None
) -> Callable[[R, Context], A]:
    """Return the behaviour, counted, and noted if it is worth it."""

    def answer(request: R, context: Context) -> A:
        call = _current()
        counts.begun()
        if noted is not None and noted.changes:
            call.request_id = request_id_of(request)
        code: str | None = "UNKNOWN"
        try:
            response = behaviour(request, context)
            code = None
        finally:
            code = code_of(context, code)
            counts.ended(code, perf_counter() - call.began)
            if noted is not None and (noted.changes or call.reason):
                noted.ended(request, call, code)
        return response

    return answer


def _stream(
    behaviour: Callable[[R, Context], Iterator[A]], counts: MethodCalls, noted: _Noted | None = None
) -> Callable[[R, Context], Iterator[A]]:
    def stream(request: R, context: Context) -> Iterator[A]:
        counts.begun()
        code: str | None = "UNKNOWN"
        try:
            yield from behaviour(request, context)
            code = None
        except GeneratorExit:
            code = "CANCELLED"
            raise
        finally:
            code = code_of(context, code)
            counts.ended(code, None)
            if noted is not None:
                noted.ended(request, _current(), code)

    return stream


def _current() -> CurrentCall:
    call = current_call()
    if call is None:
        raise LookupError("the call did not pass the interceptor")
    return call
