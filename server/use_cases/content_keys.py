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
    ResourceNotFoundError,
    WrappedKeyRejectedError,
)
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.ports import KekInUse
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.environment import Environment
from server.use_cases.kek_access import KekAccess

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
        self, caller: Caller, kek: KekName, *, count: int, size: int, context: Context
    ) -> list[GeneratedContentKey]:
        """Return `count` content keys of `size` bytes.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            InvalidFieldError: not 1 to 1000 keys of 16 to 64 bytes, or the context is over its limits.
            ResourceNotFoundError: there is no such KEK.
            OrganizationLockedError: the organisation may not work.
            KekExhaustedError: the KEK may not encrypt so often any more.
            KekDamagedError: the KEK as stored is not the key it should be.
        """
        authorize(caller, Operation.GENERATE_CONTENT_KEYS, kek.organization)
        _check_count(count)
        if size not in GENERATED_SIZES:
            raise InvalidFieldError("size_bytes", f"{GENERATED_SIZES.start} to {GENERATED_SIZES.stop - 1} bytes")
        authenticated = associated_data(kek.organization, kek.id, context)

        def work(kek_in_use: KekInUse) -> list[GeneratedContentKey]:
            random = self._env.custody.random(count * size)
            plaintexts = [random[start : start + size] for start in range(0, len(random), size)]
            return [
                GeneratedContentKey(
                    plaintext, WrappedContentKey(kek.id, kek_in_use.encrypt(plaintext, authenticated)).to_bytes()
                )
                for plaintext in plaintexts
            ]

        return self._access.with_kek(kek, work, items=count, encryptions=count)


class WrapContentKeys:
    """Wrap content keys that the caller brings."""

    def __init__(self, access: KekAccess) -> None:
        self._access = access

    def __call__(self, caller: Caller, kek: KekName, items: Sequence[Item]) -> list[bytes | KeysteadError]:
        """Return, for each item, its wrapped form or what is wrong with it.

        Raises:
            As GenerateContentKeys, save that a bad size or context fails only its own item.
        """
        authorize(caller, Operation.WRAP_CONTENT_KEYS, kek.organization)
        _check_count(len(items))

        def work(kek_in_use: KekInUse) -> list[bytes | KeysteadError]:
            return [self._wrap(kek, kek_in_use, *item) for item in items]

        return self._access.with_kek(kek, work, items=len(items), encryptions=len(items))

    def _wrap(self, kek: KekName, kek_in_use: KekInUse, plaintext: bytes, context: Context) -> bytes | KeysteadError:
        try:
            check_plaintext(plaintext)
            authenticated = associated_data(kek.organization, kek.id, context)
        except InvalidFieldError as error:
            return error
        return WrappedContentKey(kek.id, kek_in_use.encrypt(plaintext, authenticated)).to_bytes()


class UnwrapContentKeys:
    """Unwrap content keys, of one KEK or of many."""

    def __init__(self, access: KekAccess) -> None:
        self._access = access

    def __call__(
        self, caller: Caller, organization: OrganizationId, items: Sequence[Item]
    ) -> list[UnwrappedContentKey | KeysteadError]:
        """Return, for each item, its content key or what is wrong with it.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            InvalidFieldError: not 1 to 1000 items.
            ResourceNotFoundError: there is no such organisation.
            OrganizationLockedError: the organisation may not work.
        """
        authorize(caller, Operation.UNWRAP_CONTENT_KEYS, organization)
        _check_count(len(items))
        results: list[UnwrappedContentKey | KeysteadError] = [WrappedKeyRejectedError()] * len(items)
        by_kek: dict[ObjectId, list[tuple[int, bytes, bytes]]] = {}
        for place, (wrapped, context) in enumerate(items):
            try:
                parsed = WrappedContentKey.parse(wrapped)
                authenticated = associated_data(organization, parsed.kek, context)
            except (WrappedKeyRejectedError, InvalidFieldError) as error:
                results[place] = error
                continue
            by_kek.setdefault(parsed.kek, []).append((place, parsed.sealed, authenticated))
        if not by_kek:
            self._access.demand_unlocked(organization)
        for kek_id, parts in by_kek.items():
            for place, result in self._unwrap(KekName(organization, kek_id), parts):
                results[place] = result
        return results

    def _unwrap(
        self, kek: KekName, parts: list[tuple[int, bytes, bytes]]
    ) -> list[tuple[int, UnwrappedContentKey | KeysteadError]]:
        def work(kek_in_use: KekInUse) -> list[tuple[int, UnwrappedContentKey | KeysteadError]]:
            return [
                (place, self._decrypt(kek, kek_in_use, sealed, authenticated)) for place, sealed, authenticated in parts
            ]

        try:
            return self._access.with_kek(kek, work, items=len(parts))
        except ResourceNotFoundError:
            # A KEK of another organisation, or of none, looks like any other wrapped key that is not the caller's.
            self._access.demand_unlocked(kek.organization)
            return [(place, WrappedKeyRejectedError()) for place, _, _ in parts]
        except KekDamagedError as error:
            return [(place, error) for place, _, _ in parts]

    def _decrypt(
        self, kek: KekName, kek_in_use: KekInUse, sealed: bytes, authenticated: bytes
    ) -> UnwrappedContentKey | KeysteadError:
        try:
            return UnwrappedContentKey(kek_in_use.decrypt(sealed, authenticated), kek)
        except WrappedKeyRejectedError as error:
            return error
