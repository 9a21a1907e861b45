"""Make, wrap and unwrap content keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.domain.content_keys import (
    GENERATED_SIZES,
    ITEMS_LIMIT,
    Context,
    WrappedContentKey,
    associated_data,
    check_plaintext,
)
from server.domain.errors import (
    InvalidFieldError,
    KekDamagedError,
    KeysteadError,
    WrappedKeyRejectedError,
)
from server.domain.ids import KekName, OrganizationId
from server.domain.ports import Wanted, always_wanted, while_wanted
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.environment import Environment
from server.use_cases.kek_access import Encrypt, KekAccess, Keks

Item = tuple[bytes, Context]


@dataclass(frozen=True, slots=True)
class GeneratedContentKey:
    """A new content key, in clear and wrapped."""

    plaintext: bytes = field(repr=False)
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class UnwrappedContentKey:
    """A content key in clear, and the KEK it is wrapped under."""

    plaintext: bytes = field(repr=False)
    kek: KekName


def _check_count(count: int) -> None:
    if not 1 <= count <= ITEMS_LIMIT:
        raise InvalidFieldError("items", f"1 to {ITEMS_LIMIT} items")


class GenerateContentKeys:
    """Make content keys from the token's random number generator."""

    def __init__(self, env: Environment, access: KekAccess) -> None:
        self._env = env
        self._access = access

    def __call__(
        self,
        caller: Caller,
        kek: KekName,
        *,
        count: int,
        size: int,
        context: Context,
        wanted: Wanted = always_wanted,
    ) -> list[GeneratedContentKey]:
        """Return `count` content keys of `size` bytes.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            InvalidFieldError: not 1 to 1000 keys of 16 to 64 bytes, or the context is over its limits.
            ResourceNotFoundError: there is no such KEK.
            OrganizationLockedError: the organisation may not work.
            KekDamagedError: the KEK as stored is not the key it should be.
            CallerGoneError: nobody waits for the answer any more.
        """
        authorize(caller, Operation.GENERATE_CONTENT_KEYS, kek.organization)
        _check_count(count)
        if size not in GENERATED_SIZES:
            raise InvalidFieldError("size_bytes", f"{GENERATED_SIZES.start} to {GENERATED_SIZES.stop - 1} bytes")
        associated_data(
            kek.organization, kek.id, context
        )  # Its limits are the context's, whichever version it will be.
        self._access.demand_unlocked(kek.organization)
        # Before the KEK is used: a call that holds a session with the token must not wait for another one.
        random = self._env.custody.random(count * size)
        plaintexts = [random[start : start + size] for start in range(0, len(random), size)]

        def work(encrypt: Encrypt) -> list[GeneratedContentKey]:
            return [
                GeneratedContentKey(plaintext, encrypt(plaintext, context))
                for plaintext in while_wanted(plaintexts, wanted)
            ]

        return self._access.encrypting(caller, kek, work, items=count)


class WrapContentKeys:
    """Wrap content keys that the caller brings."""

    def __init__(self, access: KekAccess) -> None:
        self._access = access

    def __call__(
        self, caller: Caller, kek: KekName, items: Sequence[Item], wanted: Wanted = always_wanted
    ) -> list[bytes | KeysteadError]:
        """Return, for each item, its wrapped form or what is wrong with it.

        Raises:
            As GenerateContentKeys, save that a bad size or context fails only its own item.
        """
        authorize(caller, Operation.WRAP_CONTENT_KEYS, kek.organization)
        _check_count(len(items))

        def work(encrypt: Encrypt) -> list[bytes | KeysteadError]:
            return [_wrap(encrypt, *item) for item in while_wanted(items, wanted)]

        return self._access.encrypting(caller, kek, work, items=len(items))


def _wrap(encrypt: Encrypt, plaintext: bytes, context: Context) -> bytes | KeysteadError:
    try:
        check_plaintext(plaintext)
        return encrypt(plaintext, context)
    except InvalidFieldError as error:
        return error


class UnwrapContentKeys:
    """Unwrap content keys, of one KEK or of many."""

    def __init__(self, access: KekAccess) -> None:
        self._access = access

    def __call__(
        self, caller: Caller, organization: OrganizationId, items: Sequence[Item], wanted: Wanted = always_wanted
    ) -> list[UnwrappedContentKey | KeysteadError]:
        """Return, for each item, its content key or what is wrong with it.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            InvalidFieldError: not 1 to 1000 items.
            ResourceNotFoundError: there is no such organisation.
            OrganizationLockedError: the organisation may not work.
            CallerGoneError: nobody waits for the answer any more.
        """
        authorize(caller, Operation.UNWRAP_CONTENT_KEYS, organization)
        _check_count(len(items))
        parsed = [_parsed(organization, *item) for item in items]
        keks_wanted = {it[0].kek: None for it in parsed if isinstance(it, tuple)}

        def work(keks: Keks) -> list[UnwrappedContentKey | KeysteadError]:
            return [_unwrap(keks, *it) if isinstance(it, tuple) else it for it in while_wanted(parsed, wanted)]

        results = self._access.decrypting(organization, keks_wanted, work)
        if results is None:
            return [WrappedKeyRejectedError() if isinstance(it, tuple) else it for it in parsed]
        return results


_Parsed = tuple[WrappedContentKey, bytes]
"""A wrapped content key that might be one of the organisation's, and what it should authenticate."""


def _parsed(organization: OrganizationId, wrapped: bytes, context: Context) -> _Parsed | KeysteadError:
    try:
        parts = WrappedContentKey.parse(wrapped)
        return parts, associated_data(organization, parts.kek, context)
    except (WrappedKeyRejectedError, InvalidFieldError) as error:
        return error


def _unwrap(keks: Keks, it: WrappedContentKey, authenticated: bytes) -> UnwrappedContentKey | KeysteadError:
    kek = keks.find(it.kek)
    if kek is None:
        # A KEK of another organisation, or of none, looks like any other wrapped key that is not the caller's.
        return WrappedKeyRejectedError()
    try:
        return UnwrappedContentKey(keks.decrypt(kek, it.sealed, authenticated), kek.name)
    except (WrappedKeyRejectedError, KekDamagedError) as error:
        return error
