"""Keeps leases: asks for them in time, in a thread of its own, and has changes pushed where there is room for it."""

import random
import threading
import time
from collections.abc import Sequence

import grpc

from keystead.client.calls import Calls
from keystead.client.content_keys import ITEMS_LIMIT
from keystead.client.errors import KeysteadError, error_of_call, error_of_item
from keystead.client.key_cache import KeyCache, boot_time
from keystead.v1.authority_service_pb2 import (
    Authority,
    GetAuthorityRequest,
    GetAuthorityResult,
    WatchOrganizationRequest,
)
from keystead.v1.authority_service_pb2_grpc import AuthorityServiceStub
from keystead.v1.resources_pb2 import MainKey

_PATIENCE = 2.0
"""Seconds that an answer is waited for at most; while there is a lease to lose, half of what is left of it."""
_IMPATIENCE = 0.25
"""Seconds that an answer is waited for at least."""
_PAUSE = 0.25
"""Seconds after which a lease that was not renewed is asked for again, unless the service says how many."""
_LONGEST_PAUSE = 2.0
_WATCH_PAUSE = 1.0
_LONGEST_WATCH_PAUSE = 30.0
_NOT_OFFERED = frozenset({"UNIMPLEMENTED", "INVALID_ARGUMENT", "UNAUTHENTICATED"})
_NOT_GRANTED = frozenset({"PERMISSION_DENIED", "NOT_FOUND"})
_JOIN = 5.0
"""Seconds that closing waits for a thread."""
_NOTHING = GetAuthorityResult()
"""What an answer that is none says of an organisation."""


class LeaseKeeper:
    """Renews the leases of the organisations that a cache knows.

    A lease counts from the moment before its request was sent: the answer may have been on its way for any time. What
    is pushed renews none, for the same reason.
    """

    def __init__(self, stub: AuthorityServiceStub, calls: Calls, cache: KeyCache, watches: int) -> None:
        self._stub = stub
        self._calls = calls
        self._cache = cache
        self._watches = watches
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._watchers: dict[str, _Watcher] = {}
        self._failures = 0

    def enter(self, organization: str, seconds: float) -> None:
        """Have an organisation's lease kept; if that is new, ask for the first one, for at most so many seconds."""
        if self._cache.enter(organization):
            self._start()
            self._ask([organization], max(_IMPATIENCE, min(_PATIENCE, seconds)))
            self._watch(organization)

    def close(self) -> None:
        """Wait for the end of all threads, once no calls are made any more and the channel is closed."""
        self._cache.wake()
        with self._lock:
            threads = [*self._watchers.values(), *([self._thread] if self._thread else [])]
        for thread in threads:
            thread.join(_JOIN)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._calls.is_closed:
                self._thread = threading.Thread(target=self._keep, name="keystead-leases", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        while not self._calls.is_closed:
            organizations = self._cache.tidy()
            if self._cache.renewal_is_due():
                for begin in range(0, len(organizations), ITEMS_LIMIT):
                    left = self._cache.seconds_of_lease() / 2
                    seconds = min(_PATIENCE, max(_IMPATIENCE, left)) if left else _PATIENCE
                    self._ask(organizations[begin : begin + ITEMS_LIMIT], seconds)
            self._cache.wait(lambda: self._calls.is_closed)

    def _ask(self, organizations: Sequence[str], seconds: float) -> None:
        """Ask once whether organisations may work, and have the cache know."""
        sent = boot_time()
        try:
            answer = self._stub.GetAuthority(GetAuthorityRequest(organizations=organizations), timeout=seconds)
        except (grpc.RpcError, ValueError) as fault:
            error = error_of_call(fault, "") if isinstance(fault, grpc.RpcError) else None
            pause = self._pause(error)
            for organization in organizations:
                if error is not None and error.code in _NOT_GRANTED:
                    self._cache.distrust(organization)  # Nothing is granted any more.
                self._cache.not_told(organization, pause)
            return
        self._failures = 0
        results = answer.results if len(answer.results) == len(organizations) else [_NOTHING] * len(organizations)
        for organization, result in zip(organizations, results, strict=True):
            if result.HasField("authority"):
                lease = result.authority.lease.ToTimedelta().total_seconds()
                tell(self._cache, organization, result.authority, sent, lease)
                if lease <= 0:
                    self._cache.not_told(organization, _PAUSE)
                continue
            error = error_of_item(result.status, "")
            if error.retry_after is None:
                # It is not granted any more, or does not exist.
                self._cache.distrust(organization)
            self._cache.not_told(organization, min(_LONGEST_PAUSE, error.retry_after or _LONGEST_PAUSE))

    def _pause(self, error: KeysteadError | None) -> float:
        self._failures = min(self._failures + 1, 4)
        pause = (error and error.retry_after) or _PAUSE * 2 ** (self._failures - 1)
        return min(_LONGEST_PAUSE, pause) * random.uniform(0.75, 1.0)  # noqa: S311 - jitter is no secret

    def _watch(self, organization: str) -> None:
        with self._lock:
            self._watchers = {name: it for name, it in self._watchers.items() if it.is_alive()}
            if organization in self._watchers or len(self._watchers) >= self._watches or self._calls.is_closed:
                return
            watcher = _Watcher(self._stub, self._calls, self._cache, organization)
            self._watchers[organization] = watcher
            watcher.start()


class _Watcher(threading.Thread):
    """Hears of the changes of one organisation, as long as the cache knows it."""

    def __init__(self, stub: AuthorityServiceStub, calls: Calls, cache: KeyCache, organization: str) -> None:
        super().__init__(name=f"keystead-watch-{organization}", daemon=True)
        self._stub = stub
        self._calls = calls
        self._cache = cache
        self._organization = organization

    def run(self) -> None:
        failures = 0
        while self._is_wanted():
            begun = time.monotonic()
            error = self._listen()
            if error is None or error.code in _NOT_OFFERED:
                return
            if error.code in _NOT_GRANTED:
                self._cache.distrust(self._organization)
                return
            failures = 1 if time.monotonic() - begun > _LONGEST_WATCH_PAUSE else min(failures + 1, 6)
            self._rest(error, failures)

    def _is_wanted(self) -> bool:
        return not self._calls.is_closed and self._cache.knows(self._organization)

    def _listen(self) -> KeysteadError | None:
        """Pass on what is told until the end; return why it came, or None if nothing more is wanted."""
        try:
            stream = self._stub.WatchOrganization(WatchOrganizationRequest(name=self._organization))
            for authority in stream:
                tell(self._cache, self._organization, authority)
                if not self._is_wanted():
                    stream.cancel()
                    return None
        except grpc.RpcError as fault:
            return error_of_call(fault, "")
        except ValueError:
            return None  # The channel is closed.
        return KeysteadError("UNAVAILABLE", "The stream ended.")

    def _rest(self, error: KeysteadError, failures: int) -> None:
        """Wait until it makes sense to try again; meanwhile changes are found when leases are renewed."""
        least = error.retry_after or _WATCH_PAUSE * 2 ** (failures - 1)
        pause = min(_LONGEST_WATCH_PAUSE, least) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter is no secret
        self._calls.rest(pause)


def tell(cache: KeyCache, organization: str, authority: Authority, sent: float = 0.0, lease: float = 0.0) -> None:
    """Have a cache know what the service told of an organisation; without a lease, if it was pushed."""
    is_active = authority.state == MainKey.ACTIVE
    cache.told(organization, authority.epoch, is_active=is_active, sent=sent, lease=lease)
