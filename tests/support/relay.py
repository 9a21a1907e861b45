"""Something between a caller and the service that loses answers, as networks do, damages them, or answers itself."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tests.support.service import Service


class Relay(grpc.GenericRpcHandler):
    """Passes calls on as one caller, and remembers them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.address = ""
        self.requests: dict[str, list[bytes]] = {}
        """What was asked of each method, as it came."""
        self.losses = 0
        """How many of the next answers to changes are lost."""
        self.refusals: list[Status] = []
        """What the next changes are told without being passed on."""
        self.damage_request: Callable[[bytes], bytes] = lambda request: request
        self.damage_answer: Callable[[bytes], bytes] = lambda answer: answer
        """What becomes of the answers to all but reading calls."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        method = path.rpartition("/")[2]

        def pass_on(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.requests.setdefault(method, []).append(request)
            is_change = not method.startswith(("Get", "List", "Preview"))
            if is_change and self.refusals:
                context.abort_with_status(rpc_status.to_status(self.refusals.pop(0)))
            try:
                answer: bytes = self._channel.unary_unary(path)(self.damage_request(request), timeout=30)
            except grpc.RpcError as error:
                if (status := rpc_status.from_call(error)) is None:  # The test is over, and its channel closed.
                    context.abort(error.code(), "no answer")
                context.abort_with_status(rpc_status.to_status(status))
            if is_change and self.losses:
                self.losses -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost on the way")
            return self.damage_answer(answer) if is_change else answer

        return grpc.unary_unary_rpc_method_handler(pass_on)


@contextmanager
def relay(service: Service, who: str) -> Iterator[Relay]:
    """Have a relay for a block; it shows the service's certificate, and speaks to it as `who`."""
    channel = service.new_client(who).channel
    handler = Relay(channel)
    server = grpc.server(ThreadPoolExecutor(2), handlers=(handler,))
    key, certificate, authority = (
        (service.folder / "pki" / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem")
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    handler.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        yield handler
    finally:
        server.stop(None).wait()
        channel.close()
