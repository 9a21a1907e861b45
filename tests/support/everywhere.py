"""Clients of every worker: the kernel deals connections out to the processes, and the test looks which got which."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from grpc_health.v1.health_pb2 import HealthCheckRequest

from tests.support.service import Client, Service

_ESTABLISHED, _LISTEN = "01", "0A"
_MOST = 200
"""Connections after which one of a few workers has surely got one."""


@contextmanager
def clients_of_every_worker(service: Service, who: str) -> Iterator[dict[int, Client]]:
    """Have, for a block, a client of each worker by the worker's process id."""
    with ExitStack() as kept:
        found: dict[int, Client] = {}
        workers = service.pids("worker")
        for _ in range(_MOST):
            before = {pid: connections_of(service, pid) for pid in workers}
            client = service.new_client(who)
            kept.callback(client.channel.close)
            client.health.Check(HealthCheckRequest(), timeout=10)
            (pid,) = (pid for pid in workers if connections_of(service, pid) - before[pid])
            found.setdefault(pid, client)
            if len(found) == len(workers):
                break
        assert found.keys() == set(workers)
        yield found


def connections_of(service: Service, pid: int) -> set[str]:
    """Return the sockets of callers that a process has."""
    port = int(service.address.rpartition(":")[2])
    return {it.inode for it in sockets_of(pid) if (it.port, it.state) == (port, _ESTABLISHED)}


@dataclass(frozen=True)
class Socket:
    """A TCP socket of a process."""

    inode: str
    port: int
    state: str

    @property
    def listens(self) -> bool:
        return self.state == _LISTEN


def sockets_of(pid: int) -> list[Socket]:
    tables = (Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    links = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(str(link.readlink()))
        except OSError:
            continue  # It was closed meanwhile.
    all_of_them = (Socket(row[9], int(row[1].rpartition(":")[2], 16), row[3]) for row in rows)
    return [it for it in all_of_them if f"socket:[{it.inode}]" in links]
