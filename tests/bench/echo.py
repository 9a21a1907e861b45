"""A gRPC service that answers bytes of one size and does nothing else: what gRPC itself costs.

As a program, `echo ADDRESS PKI SIZE THREADS` serves until its standard input ends.
"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.support.service import free_port
from tests.support.token import ROOT

METHOD = "/bench.Echo/Answer"


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, size: int) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: bytes(size))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # noqa: ARG002 - any
        return self._handler


def main(address: str, pki: str, size: str, threads: str) -> None:
    key, certificate, ca = ((Path(pki) / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
    # As server/grpc_api/server.py has it.
    server = grpc.server(
        ThreadPoolExecutor(int(threads)), handlers=(_Echo(int(size)),), options=(("grpc.so_reuseport", 1),)
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    server.add_secure_port(address, credentials)
    server.start()
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()


@contextmanager
def echo(pki: Path, size: int, processes: int, threads: int = 64) -> Iterator[tuple[str, list[int]]]:
    """Have an echo service for a block, which gets its address and the ids of its processes."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tests.bench.echo", address, str(pki), str(size), str(threads)]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
        yield address, [process.pid for process in started]
    finally:
        for process in started:
            process.communicate("", timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
