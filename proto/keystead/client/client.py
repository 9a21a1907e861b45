"""The client: what a service calls for its content keys."""

import os
import time
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from keystead.client import connection
from keystead.client.calls import Calls
from keystead.client.content_keys import (
    ITEMS_LIMIT,
    ContentKey,
    Context,
    Item,
    Outcome,
    batches,
    damaged,
    generated_key,
    outcomes,
    rewrap_item,
    rewrap_outcome,
    unwrap_item,
    unwrap_outcome,
    wrap_item,
    wrap_outcome,
)
from keystead.client.errors import KeysteadError, LockedError, UnavailableError
from keystead.client.key_cache import CacheLimits, KeyCache
from keystead.client.leases import LeaseKeeper
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1.authority_service_pb2_grpc import AuthorityServiceStub
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub

_TIMEOUT = 10.0
_CACHE = CacheLimits()
_ROUNDS = 4
"""How often a question is asked while answers are overtaken by changes of the organisation."""

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

_caches: "weakref.WeakSet[KeyCache]" = weakref.WeakSet()


class Client:
    """Makes, wraps, unwraps and rewraps content keys, and keeps those that it has unwrapped for a while.

    For any number of threads of the process that made it. A forked process must make its own; there, what this one
    keeps is overwritten, and every call is refused. Close it, or use it as a context manager.

    Every method that calls the service raises:
        LockedError: the organisation's main key is not ACTIVE.
        RefusedError: another refusal; `reason` says which.
        UnavailableError: no answer in time, or none for now, after all repeats that the service allows.
        DamagedError: an answer is not what was sent.
        ClientClosedError: the client is closed, or its parent process's.

    Every such method takes `timeout`, in seconds, for all that it does; by default each call, with its repeats, may
    take as long as the client was told. What is more than one call takes (1000 items, 4 MiB) is several calls, one
    after the other; when one of them fails, so does the method, and it does no harm to ask for all of it again.
    """

    def __init__(
        self,
        address: str,
        *,
        authority: str | os.PathLike[str],
        certificate: str | os.PathLike[str],
        key: str | os.PathLike[str],
        timeout: float = _TIMEOUT,
        cache: CacheLimits | None = _CACHE,
    ) -> None:
        """Make a client. Nothing is sent before the first call.

        Args:
            address: of the service, HOST:PORT.
            authority: PEM file of the authorities that the service's certificate must come from.
            certificate: PEM file of one's own certificate, whose URI is who one is.
            key: PEM file of its private key, without a passphrase.
            timeout: seconds for a call and its repeats, unless a method is given another time.
            cache: what may be kept of unwrapped content keys; None to keep nothing.

        Raises:
            SettingsError: the address or a file is not what it should be.
        """
        self._channel = connection.connect(address, authority, certificate, key)
        self._address = address
        self._timeout = timeout
        self._calls = Calls()
        self._stub = ContentKeyServiceStub(self._channel)
        self._cache = KeyCache(cache) if cache is not None else None
        self._leases: LeaseKeeper | None = None
        if cache is not None and self._cache is not None:
            _caches.add(self._cache)
            self._leases = LeaseKeeper(AuthorityServiceStub(self._channel), self._calls, self._cache, cache.watches)

    @classmethod
    def from_environment(cls, *, timeout: float = _TIMEOUT, cache: CacheLimits | None = _CACHE) -> Self:
        """Return a client by KEYSTEAD_ADDRESS, KEYSTEAD_CA, KEYSTEAD_CERT and KEYSTEAD_KEY.

        Raises:
            SettingsError: one of them is not set, or not what it should be.
        """
        address, authority, certificate, key = connection.from_environment(os.environ)
        return cls(address, authority=authority, certificate=certificate, key=key, timeout=timeout, cache=cache)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls under way and overwrite what is kept. To close it again does nothing."""
        if os.getpid() != self._calls.process:
            return
        self._calls.close()
        self._channel.close()
        if self._leases is not None and self._cache is not None:
            self._leases.close()
            self._cache.clear()

    @property
    def channel(self) -> grpc.Channel:
        """Return the channel, for the stubs of methods that are not here; without retries, deadlines and checks."""
        self._calls.demand_open()
        return self._channel

    # Content keys.

    def generate(
        self, kek: str, count: int = 1, *, size: int = 32, context: Context | None = None, timeout: float | None = None
    ) -> list[ContentKey]:
        """Return new content keys, in clear and wrapped.

        Args:
            kek: resource name of the KEK to wrap them under.
            count: how many.
            size: of each, in bytes, 16 to 64.
            context: of each; see Item.
            timeout: seconds.
        """
        until = _until(timeout)
        made: list[ContentKey] = []
        while len(made) < count:
            more = min(count - len(made), ITEMS_LIMIT)
            request = messages.GenerateContentKeysRequest(kek=kek, count=more, size_bytes=size, context=context or {})
            answer, call_id = self._call(_organization_of(kek), self._stub.GenerateContentKeys, request, until)
            if len(answer.content_keys) != more:
                raise damaged(f"{len(answer.content_keys)} content keys came, not {more}.", call_id)
            made += [generated_key(it, call_id) for it in answer.content_keys]
        return made

    def wrap(self, kek: str, items: Sequence[Item], *, timeout: float | None = None) -> list[Outcome[bytes]]:
        """Wrap content keys that one has; return for each the wrapped one, or why there is none.

        Args:
            kek: resource name of the KEK to wrap them under.
            items: content keys in clear.
            timeout: seconds.

        Raises:
            ValueError: an item alone is more than a request takes.
        """
        until = _until(timeout)
        found: list[Outcome[bytes]] = []
        for batch in batches([wrap_item(it) for it in items]):
            request = messages.WrapContentKeysRequest(kek=kek, items=batch)
            answer, call_id = self._call(_organization_of(kek), self._stub.WrapContentKeys, request, until)
            found += outcomes(answer.results, len(batch), wrap_outcome, call_id)
        return found

    def rewrap(
        self, organization: str, items: Sequence[Item], *, kek: str = "", timeout: float | None = None
    ) -> list[Outcome[bytes]]:
        """Wrap content keys anew; return for each the new wrapped one, or why there is none. The old one stays good.

        Args:
            organization: its resource name.
            items: wrapped content keys.
            kek: resource name of the KEK to wrap them under; for each, the one that it is under, if empty.
            timeout: seconds.

        Raises:
            ValueError: an item alone is more than a request takes.
        """
        until = _until(timeout)
        found: list[Outcome[bytes]] = []
        for batch in batches([rewrap_item(it) for it in items]):
            request = messages.RewrapContentKeysRequest(parent=organization, kek=kek, items=batch)
            answer, call_id = self._call(organization, self._stub.RewrapContentKeys, request, until)
            found += outcomes(answer.results, len(batch), rewrap_outcome, call_id)
        return found

    def unwrap(self, organization: str, items: Sequence[Item], *, timeout: float | None = None) -> list[Outcome[bytes]]:
        """Unwrap content keys; return for each the content key in clear, or why there is none.

        Those that are kept are given out without a call, while the organisation's lease is good.

        Args:
            organization: its resource name.
            items: wrapped content keys.
            timeout: seconds.

        Raises:
            ValueError: an item alone is more than a request takes.
        """
        self._calls.demand_open()
        until = _until(timeout)
        if self._cache is None or self._leases is None or not items:
            return self._unwrap(organization, items, until)
        self._leases.enter(organization, timeout or self._timeout)
        answered: dict[int, Outcome[bytes]] = {}
        for _ in range(_ROUNDS):
            kept = self._cache.take(organization, items)
            missing = [index for index, key in enumerate(kept) if key is None and index not in answered]
            if not missing:
                # What was answered is newer than what is kept, and of some items there is only that.
                return [answered[index] if index in answered else Outcome(key) for index, key in enumerate(kept)]
            ticket = self._cache.ticket(organization)
            asked = [items[index] for index in missing]
            found = self._unwrap(organization, asked, until)
            good = {index: it.value for index, it in enumerate(found) if it.error is None}
            if self._cache.keep(ticket, good, asked):
                answered |= zip(missing, found, strict=True)
            else:
                # The organisation was locked while the answer was on its way. If it may work again, it is told so now.
                answered.clear()
        raise UnavailableError("UNAVAILABLE", f"{organization} was locked again and again while it was asked.")

    def forget(self, organization: str | None = None) -> None:
        """Overwrite what is kept of an organisation, or of all."""
        self._calls.demand_open()
        if self._cache is not None:
            self._cache.clear(organization)

    def _unwrap(self, organization: str, items: Sequence[Item], until: float | None) -> list[Outcome[bytes]]:
        found: list[Outcome[bytes]] = []
        for batch in batches([unwrap_item(it) for it in items]):
            request = messages.UnwrapContentKeysRequest(parent=organization, items=batch)
            answer, call_id = self._call(organization, self._stub.UnwrapContentKeys, request, until)
            found += outcomes(answer.results, len(batch), unwrap_outcome, call_id)
        return found

    def _call(
        self, organization: str, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: Q, until: float | None
    ) -> tuple[A, str]:
        try:
            return self._calls.call(method, request, time.monotonic() + self._timeout if until is None else until)
        except KeysteadError as error:
            self._take_note(organization, error)
            raise

    def _take_note(self, organization: str, error: KeysteadError) -> None:
        if self._cache is None:
            return
        if isinstance(error, LockedError) or error.code == "PERMISSION_DENIED":
            self._cache.distrust(organization)
        elif isinstance(error, UnavailableError) and self._cache.is_without_lease(organization):
            error.add_note(f"No content key that was kept is given out: the lease of {organization} was not renewed.")


def _until(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _organization_of(kek: str) -> str:
    return "/".join(kek.split("/")[:2])


def _forget_in_child() -> None:
    for cache in list(_caches):
        cache.clear_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
