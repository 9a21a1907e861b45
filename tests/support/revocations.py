"""Revocations under load, and whether anything succeeds after their bound."""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import grpc
from keystead.v1 import main_key_service_pb2 as main_keys

from tests.support.cluster import Cluster
from tests.support.crowd import make_keks, one_content_key_each
from tests.support.everywhere import clients_of_every_worker
from tests.support.pressure import LOCKED, SERVED, Caller, Crowd, pressing
from tests.support.service import Organization, eventually

KEKS = 4
RECOVERY = 20.0
"""Seconds within which everything works again when a fault is gone; what it took is told."""
LATER = 0.5
"""Seconds after the bound in which we go on looking, when nothing is wrong."""
NO_FAULT = "none"
HONEST = {SERVED, LOCKED, "STORAGE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""What callers may be told. The deadline is their own; a lease may also end on a machine that is short of time."""


@dataclass(frozen=True)
class Round:
    """One revocation, and the activation after it."""

    fault: str
    until_last_success: float
    """Seconds from the answer to RevokeMainKey to the end of the last call that was served; negative if before it."""
    bound_left: float
    """Seconds from that end to the effective time."""
    until_known: float
    """Seconds from the end of the fault until each worker said that the organisation is locked."""
    until_served: float
    """Seconds from the answer to ActivateMainKey until each worker had served."""


class Tenant:
    """An organisation, and callers of it at each worker of each replica."""

    def __init__(self, cluster: Cluster, kept: ExitStack) -> None:
        first = cluster.replicas[0].new_organization()
        self.at_each = [Organization(replica, first.id) for replica in cluster.replicas]
        self._main_key = first.bring().name
        self._main_key_moves = [org.admin.main_keys for org in self.at_each]
        keys = one_content_key_each(first, make_keks(first, KEKS, 2), 2)
        callers = []
        for number, replica in enumerate(cluster.replicas, 1):
            clients = kept.enter_context(clients_of_every_worker(replica, f"service:{first.id}"))
            callers += [Caller(number, first.name, client, keys) for client in clients.values()]
        self.crowd = Crowd(callers)

    def revoke(self, replica: int) -> tuple[float, float]:
        """Revoke the main key at a replica; return when this was answered, and by when it holds everywhere."""
        request = main_keys.RevokeMainKeyRequest(name=self._main_key, request_id=str(uuid.uuid4()))
        answer = _asked(lambda: self._main_key_moves[replica].RevokeMainKey(request, timeout=10))
        answered = time.monotonic()
        effective = answer.effective_time.ToNanoseconds() / 1e9
        return answered, answered + effective - time.time()

    def activate(self, replica: int) -> None:
        request = main_keys.ActivateMainKeyRequest(name=self._main_key, request_id=str(uuid.uuid4()))
        _asked(lambda: self._main_key_moves[replica].ActivateMainKey(request, timeout=10))

    def round(
        self,
        replica: int,
        fault: str = NO_FAULT,
        happening: AbstractContextManager[None] | None = None,
        later: float = LATER,
    ) -> Round:
        """Revoke and activate once, at a replica that the fault leaves alone; nothing may succeed in between.

        The fault lasts until `later` seconds after the bound.
        """
        self.crowd.await_told(SERVED, RECOVERY)
        with happening or nullcontext():
            answered, effective = self.revoke(replica)
            _pass_time(effective + later - time.monotonic())
        until_known = self.crowd.await_told(LOCKED, RECOVERY)
        reactivated = time.monotonic()
        self.activate(replica)
        until_served = self.crowd.await_told(SERVED, RECOVERY)
        late = [
            f"replica {caller.replica}, {outcome.end - effective:.3f} s late"
            for caller in self.crowd.callers
            for outcome in caller.since(answered - 60)
            if outcome.told == SERVED and effective < outcome.end < reactivated
        ]
        assert not late, f"served after the bound: {late}"
        last = max(caller.last_served(reactivated) for caller in self.crowd.callers)
        return Round(fault, last - answered, effective - last, until_known, until_served)


def rounds_of(tenants: Sequence[Tenant], count: int) -> list[Round]:
    """Return so many rounds without a fault: the tenants have theirs side by side, at each replica in turn."""

    def some(number: int) -> list[Round]:
        turns = range(number, count, len(tenants))
        return [tenants[number].round(turn % len(tenants[number].at_each)) for turn in turns]

    with ThreadPoolExecutor(len(tenants)) as pool:
        return [it for part in pool.map(some, range(len(tenants))) for it in part]


def _asked(call):
    """Return the answer to a change, which is sent again while there is nobody to answer."""

    def attempt():
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None

    return eventually(attempt, "the change is answered", interval=0.02)


def _pass_time(seconds: float) -> None:
    threading.Event().wait(max(0.0, seconds))


@contextmanager
def tenants(cluster: Cluster, count: int, *, deadline: float, period: float) -> Iterator[list[Tenant]]:
    """Have organisations with callers at work for a block."""
    with ExitStack() as kept:
        found = [Tenant(cluster, kept) for _ in range(count)]
        callers = [caller for tenant in found for caller in tenant.crowd.callers]
        with pressing(callers, deadline=deadline, period=period):
            yield found


@contextmanager
def _held(cluster: Cluster) -> Iterator[None]:
    cluster.wire.hold()
    try:
        yield
    finally:
        cluster.wire.release()


@contextmanager
def _refused(cluster: Cluster) -> Iterator[None]:
    cluster.wire.refuse()
    try:
        yield
    finally:
        cluster.wire.release()


@contextmanager
def _lost(cluster: Cluster) -> Iterator[None]:
    cluster.wire.lose()
    yield


@contextmanager
def _restarted(cluster: Cluster) -> Iterator[None]:
    # What is asked for meanwhile is done as soon as the database is there, when others may not listen to it yet.
    cluster.database.stop()
    starting = threading.Thread(target=cluster.database.start)
    starting.start()
    try:
        yield
    finally:
        starting.join()


FAULTS = {
    "database held up": _held,
    "database refused": _refused,
    "connections lost": _lost,
    "replica stopped": lambda cluster: cluster.stopped(cluster.replicas[-1]),
    "database restarted": _restarted,
}
"""What happens to the last replica, or to the database, for a block."""


def round_with(tenant: Tenant, cluster: Cluster, fault: str, later: float) -> Round:
    """Revoke at the first replica while the last one, or the database, has a fault."""
    return tenant.round(0, fault, FAULTS[fault](cluster), later)
