"""Requests that are no message of their kind. gRPC alone would call them INTERNAL, and log an error of ours for each.

They are the caller's fault. So the deserializer answers something in the message's place, and the caller is told when
it is known who that is.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from typing_extensions import override

from server.domain.errors import MalformedRequestError
from server.domain.roles import Caller
from server.grpc_api.boundary import Boundary

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.ServicerContext
Send = Callable[[Any], None]

_UNREADABLE = object()
"""Stands in the place of a message."""


class Reader(grpc.ServerInterceptor):
    """Lets methods have messages of their kind, and nothing else."""

    def __init__(self, boundary: Boundary, has_arrived: Callable[[], None]) -> None:
        """Have read nothing.

        Args:
            boundary: the edge of every call.
            has_arrived: is told, by the thread of a call, that its request has come, or that it waits for none.
        """
        self._boundary = boundary
        self._has_arrived = has_arrived
        self._reading: dict[str, Handler] = {}

    @override
    def intercept_service(
        self, continuation: "Callable[[grpc.HandlerCallDetails], Handler | None]", details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = continuation(details)
        if handler is None:
            return None
        reading = self._reading.get(details.method)
        if reading is None:
            reading = self._reading[details.method] = self._read(handler)
        return reading

    def _read(self, handler: Handler) -> Handler:
        if handler.request_deserializer is None:
            return handler  # The doorkeeper's, of a method that does not exist: it reads nothing.
        coding = _or_unreadable(handler.request_deserializer), handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._one(handler.unary_unary), *coding)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._one(handler.unary_stream), *coding)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._many(handler.stream_stream), *coding)
        raise NotImplementedError(handler)

    def _one(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def answer(request: Any, context: Context, *send: Send) -> Any:  # noqa: ANN401 - any method's
            self._has_arrived()
            if request is _UNREADABLE:
                self._boundary.answer(context, _refuse)
            return behaviour(request, context, *send)

        if getattr(behaviour, "experimental_non_blocking", False):  # Health's Watch, which is given `send`.
            answer.experimental_non_blocking = True  # type: ignore[attr-defined] # how gRPC knows it
        return answer

    def _many(
        self, behaviour: Callable[[Iterator[Any], Context], Iterator[Any]]
    ) -> Callable[[Iterator[Any], Context], Iterator[Any]]:
        def converse(requests: Iterator[Any], context: Context) -> Iterator[Any]:
            self._has_arrived()
            # What came before is answered; then the stream ends. Another thread may take the requests.
            readable = _Readable(requests)
            yield from behaviour(readable, context)
            if readable.has_met_another:
                self._boundary.answer(context, _refuse)

        return converse


class _Readable(Iterator[Any]):
    """The requests of a stream, up to the first that is no message."""

    def __init__(self, requests: Iterator[Any]) -> None:
        self._requests = requests
        self.has_met_another = False

    @override
    def __next__(self) -> Any:
        request = next(self._requests)
        if request is _UNREADABLE:
            self.has_met_another = True
            raise StopIteration
        return request


def _or_unreadable(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(message: bytes) -> Any:  # noqa: ANN401 - any method's
        try:
            return deserialize(message)
        except DecodeError:
            return _UNREADABLE

    return read


def _refuse(_caller: Caller) -> None:
    raise MalformedRequestError
