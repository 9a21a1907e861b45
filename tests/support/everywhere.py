"""Clients of every worker: the kernel deals connections out to the processes, and the test looks which got which."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from grpc_health.v1.health_pb2 import HealthCheckRequest

from tests.support.service import Client, Service

_ESTABLISHED = "01"
_MOST = 200
"""Connections after which one of a few workers has surely got one."""


@contextmanager
def clients_of_every_worker(service: Service, who: str) -> Iterator[dict[int, Client]]:
    """Have, for a block, a client of each worker by the worker's process id."""
    with ExitStack() as kept:
        found: dict[int, Client] = {}
        workers = service.pids("worker")
        for _ in range(_MOST):
            before = {pid: _connections(service, pid) for pid in workers}
            client = service.new_client(who)
            kept.callback(client.channel.close)
            client.health.Check(HealthCheckRequest(), timeout=10)
            (pid,) = (pid for pid in workers if _connections(service, pid) - before[pid])
            found.setdefault(pid, client)
            if len(found) == len(workers):
                break
        assert found.keys() == set(workers)
        yield found


def _connections(service: Service, pid: int) -> set[str]:
    """Return the sockets of callers that a process has."""
    port = f"{int(service.address.rpartition(':')[2]):04X}"
    # gRPC's sockets are of both kinds.
    tables = (Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6"))
    rows = (line.split() for table in tables for line in table)
    callers = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port}") and row[3] == _ESTABLISHED}
    links = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(str(link.readlink()))
        except OSError:
            continue  # It was closed meanwhile.
    return callers & links
