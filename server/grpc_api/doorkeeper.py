"""Stands before what no use case answers: health, reflection, and methods that do not exist.

Whoever has a good certificate may ask them, whatever the policy grants, and so may a person. The port for people takes
connections of anybody: who proves nothing is told nothing there, not even what there is.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import grpc
from typing_extensions import override

from server.grpc_api.boundary import Boundary

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.ServicerContext


class Doorkeeper(grpc.ServerInterceptor):
    """Asks of every call of others' services, and of none, who is calling.

    Attributes:
        unknown: what answers methods that do not exist.
    """

    def __init__(self, boundary: Boundary, ours: frozenset[str]) -> None:
        """Remember whom to leave alone.

        Args:
            boundary: knows who is calling.
            ours: full names of the services whose methods ask that themselves.
        """
        self._boundary = boundary
        self._ours = ours
        self.unknown: Handler = grpc.stream_stream_rpc_method_handler(self._nothing)

    @override
    def intercept_service(
        self, continuation: "Callable[[grpc.HandlerCallDetails], Handler | None]", details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = continuation(details)
        if handler is None:
            return self.unknown
        if details.method.split("/")[1] in self._ours:
            return handler
        return self._guarded(handler)

    def _guarded(self, handler: Handler) -> Handler:
        coding = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._call(handler.unary_unary), *coding)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._watch(handler.unary_stream), *coding)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._conversation(handler.stream_stream), *coding)
        raise NotImplementedError(handler)

    def _call(self, behaviour: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
        def answer(request: Any, context: Context) -> Any:  # noqa: ANN401 - any method's
            self._boundary.admit(context)
            return behaviour(request, context)

        return answer

    def _watch(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def watch(request: Any, context: Context, send: Callable[[Any], None]) -> None:  # noqa: ANN401 - likewise
            # Health's Watch has no thread that could end it when a token expires.
            self._boundary.admit(context, with_certificate=True)
            behaviour(request, context, send)

        watch.experimental_non_blocking = True  # type: ignore[attr-defined] # how gRPC knows that it keeps no thread
        return watch

    def _conversation(
        self, behaviour: Callable[[Iterator[Any], Context], Iterator[Any]]
    ) -> Callable[[Iterator[Any], Context], Iterator[Any]]:
        def admitted(requests: Iterator[Any], context: Context) -> Iterator[Any]:
            for request in requests:
                self._boundary.admit(context)
                yield request

        def converse(requests: Iterator[Any], context: Context) -> Iterator[Any]:
            self._boundary.admit(context)
            with self._boundary.place(context):
                yield from behaviour(admitted(requests, context), context)

        return converse

    def _nothing(self, _requests: Iterator[bytes], context: Context) -> Iterator[bytes]:
        self._boundary.admit(context)
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        yield from ()
