"""Wrap content keys anew, under another KEK or the one that they are under; in clear they do not leave this process.

It is an unwrapping and a wrapping, and counts as both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.errors import (
    InvalidFieldError,
    KekDamagedError,
    KeysteadError,
    ResourceNotFoundError,
)
from server.domain.ids import KekName, OrganizationId
from server.domain.ports import Wanted, always_wanted
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import read_authority
from server.use_cases.content_keys import Item, UnwrapContentKeys, WrapContentKeys
from server.use_cases.environment import Environment


@dataclass(frozen=True, slots=True)
class RewrappedContentKey:
    """A content key as it is wrapped now, and the KEK it is wrapped under."""

    wrapped: bytes
    kek: KekName


class RewrapContentKeys:
    """Wrap content keys anew, of one KEK or of many."""

    def __init__(self, env: Environment, unwrap: UnwrapContentKeys, wrap: WrapContentKeys) -> None:
        self._env = env
        self._unwrap = unwrap
        self._wrap = wrap

    def __call__(
        self,
        caller: Caller,
        organization: OrganizationId,
        items: Sequence[Item],
        *,
        kek: KekName | None = None,
        wanted: Wanted = always_wanted,
    ) -> list[RewrappedContentKey | KeysteadError]:
        """Return, for each item, its new form or what is wrong with it.

        Args:
            caller: who asks; one that may rewrap may unwrap and wrap, too.
            organization: whose content keys they are.
            items: wrapped content keys, each with the context that it keeps.
            kek: what to wrap them under; None for the KEK that each is under now.
            wanted: whether somebody still waits for the answer.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            InvalidFieldError: not 1 to 1000 items, or the KEK is another organisation's.
            ResourceNotFoundError: there is no such organisation or KEK.
            OrganizationLockedError: the organisation may not work.
        """
        authorize(caller, Operation.REWRAP_CONTENT_KEYS, organization)
        if kek is not None:
            self._demand_kek(organization, kek)
        results: dict[int, RewrappedContentKey | KeysteadError] = {}
        by_kek: dict[KekName, list[tuple[int, Item]]] = {}
        for place, unwrapped in enumerate(self._unwrap(caller, organization, items, wanted)):
            if isinstance(unwrapped, KeysteadError):
                results[place] = unwrapped
            else:
                _, context = items[place]
                by_kek.setdefault(kek or unwrapped.kek, []).append((place, (unwrapped.plaintext, context)))
        for target, parts in by_kek.items():
            places, in_clear = zip(*parts, strict=True)
            results.update(zip(places, self._wrap_under(caller, target, in_clear, wanted), strict=True))
        return [results[place] for place in range(len(items))]

    def _demand_kek(self, organization: OrganizationId, kek: KekName) -> None:
        """Return if the KEK can be found: nothing is unwrapped for one that cannot."""
        if kek.organization != organization:
            raise InvalidFieldError("kek", "a KEK of the organization whose content keys they are")
        with self._env.storage.read() as tx:
            read_authority(tx, organization).demand_unlocked()
            if tx.keks.newest(organization, kek.id) is None:
                raise ResourceNotFoundError(str(kek))

    def _wrap_under(
        self, caller: Caller, kek: KekName, items: Sequence[Item], wanted: Wanted
    ) -> list[RewrappedContentKey | KeysteadError]:
        try:
            results = self._wrap(caller, kek, items, wanted)
        except KekDamagedError as error:
            # It concerns this KEK alone; what goes under another does not fail with it.
            return [error] * len(items)
        return [it if isinstance(it, KeysteadError) else RewrappedContentKey(it, kek) for it in results]
