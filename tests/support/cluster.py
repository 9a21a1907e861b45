"""Several Keysteads over one token and one PostgreSQL, as on machines of their own; one of them behind a wire."""

import copy
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import postgres
from tests.support.service import Service, eventually, free_port
from tests.support.wire import Wire, wire_to

_CONNECTIONS = 400
"""To the database: nine processes, none of which may take more than 32."""


def another(service: Service, number: int, **settings: str) -> Service:
    """Return a Keystead with an address of its own over the token, the certificates and the policy of another one."""
    it = copy.copy(service)
    it.address = f"127.0.0.1:{free_port()}"
    it.config = service.folder / f"keystead-{number}.toml"
    it.log = service.folder / f"service-{number}.log"
    it._settings = {**service._settings, "SERVER__ADDRESS": it.address, **settings}
    it._channels = {}
    shutil.copy(service.config, it.config)
    return it


def processes_of(service: Service) -> list[int]:
    """Return the ids of all processes of a Keystead, the supervisor's first."""
    return [service.supervisor, *service.pids("worker"), *service.pids("steward")]


@dataclass(frozen=True)
class Cluster:
    """Three replicas; only the last is behind the wire."""

    replicas: list[Service]
    wire: Wire
    database: postgres.Server

    @contextmanager
    def stopped(self, replica: Service) -> Iterator[None]:
        """Have all processes of a replica stand still for a block."""
        pids = processes_of(replica)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def cluster(folder: Path, **settings: str) -> Iterator[Cluster]:
    """Have three replicas with two workers each for a block."""
    with ExitStack() as kept:
        port = free_port()
        database = kept.enter_context(postgres.running(port, _CONNECTIONS))
        url = database.new_database()
        wire = kept.enter_context(wire_to(port))
        before = os.environ.get("PGPASSFILE")
        os.environ["PGPASSFILE"] = str(database.password_file)
        kept.callback(_restore, before)
        first = Service(folder, database=url, SERVER__WORKERS="2", **settings)
        behind = url.replace(f":{port}/", f":{wire.port}/")
        replicas = [first, another(first, 2), another(first, 3, DATABASE__URL=behind)]
        kept.callback(_side_by_side, _end, replicas)
        first.start()
        _side_by_side(Service.start, replicas[1:])
        for replica in replicas:
            eventually(lambda: len(replica.pids("worker")) == 2, "both workers run")  # noqa: B023
        yield Cluster(replicas, wire, database)


def _side_by_side(work: Callable[[Service], None], replicas: Sequence[Service]) -> None:
    with ThreadPoolExecutor(len(replicas)) as pool:
        list(pool.map(work, replicas))


def _restore(value: str | None) -> None:
    if value is None:
        del os.environ["PGPASSFILE"]
    else:
        os.environ["PGPASSFILE"] = value


def _end(replica: Service) -> None:
    if replica.is_running:
        assert replica.stop() == 0, replica.log.read_text()[-4000:]
