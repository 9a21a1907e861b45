"""The uses of content keys, each as it is asked for, with a record of who did what to how many.

Around the use cases, and not in them, since they use each other: a rewrap is one thing to whoever reads the record.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from server.domain.content_keys import Context
from server.domain.errors import ForbiddenError, KeysteadError, ResourceNotFoundError
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.ports import Wanted, always_wanted
from server.domain.roles import Caller, Operation
from server.use_cases.content_keys import (
    GenerateContentKeys,
    GeneratedContentKey,
    Item,
    UnwrapContentKeys,
    UnwrappedContentKey,
    WrapContentKeys,
)
from server.use_cases.records import Records
from server.use_cases.refusals import Refusal
from server.use_cases.rewrap_content_keys import RewrapContentKeys, RewrappedContentKey


class _Recorded:
    def __init__(self, records: Records) -> None:
        self._records = records

    def _refused(
        self,
        caller: Caller,
        operation: Operation,
        of: OrganizationId | KekName,
        count: int,
        error: KeysteadError,
    ) -> None:
        """Record that a call of an organisation, or of one of its KEKs, was refused as a whole."""
        kek, organization = (of, of.organization) if isinstance(of, KekName) else (None, of)
        if isinstance(error, ForbiddenError):
            resource = str(kek) if kek else f"organizations/{organization}"
            self._records.refused(Refusal(organization, caller.identity, operation, error.reason, resource))
            return
        known = kek.id if kek is not None and not isinstance(error, ResourceNotFoundError) else None
        self._records.used(caller, organization, operation, [((known, error.reason), count)])


class RecordedGeneration(_Recorded):
    """GenerateContentKeys, recorded."""

    def __init__(self, records: Records, generate: GenerateContentKeys) -> None:
        super().__init__(records)
        self._generate = generate

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
        """Return what GenerateContentKeys returns, and raise what it raises.

        Raises:
            AuditUnavailableError: it could not be recorded.
        """
        operation = Operation.GENERATE_CONTENT_KEYS
        try:
            self._records.demand_room(kek.organization)
            made = self._generate(caller, kek, count=count, size=size, context=context, wanted=wanted)
        except KeysteadError as error:
            self._refused(caller, operation, kek, count, error)
            raise
        self._records.used(caller, kek.organization, operation, [((kek.id, None), len(made))])
        return made


class RecordedWrapping(_Recorded):
    """WrapContentKeys, recorded."""

    def __init__(self, records: Records, wrap: WrapContentKeys) -> None:
        super().__init__(records)
        self._wrap = wrap

    def __call__(
        self, caller: Caller, kek: KekName, items: Sequence[Item], wanted: Wanted = always_wanted
    ) -> list[bytes | KeysteadError]:
        """Return what WrapContentKeys returns, and raise what it raises.

        Raises:
            AuditUnavailableError: it could not be recorded.
        """
        operation = Operation.WRAP_CONTENT_KEYS
        try:
            self._records.demand_room(kek.organization)
            results = self._wrap(caller, kek, items, wanted)
        except KeysteadError as error:
            self._refused(caller, operation, kek, len(items), error)
            raise
        keys = [(kek.id, it.reason if isinstance(it, KeysteadError) else None) for it in results]
        self._records.used(caller, kek.organization, operation, _counted(keys))
        return results


class RecordedUnwrapping(_Recorded):
    """UnwrapContentKeys, recorded."""

    def __init__(self, records: Records, unwrap: UnwrapContentKeys) -> None:
        super().__init__(records)
        self._unwrap = unwrap

    def __call__(
        self, caller: Caller, organization: OrganizationId, items: Sequence[Item], wanted: Wanted = always_wanted
    ) -> list[UnwrappedContentKey | KeysteadError]:
        """Return what UnwrapContentKeys returns, and raise what it raises.

        Raises:
            AuditUnavailableError: it could not be recorded.
        """
        operation = Operation.UNWRAP_CONTENT_KEYS
        try:
            self._records.demand_room(organization)
            results = self._unwrap(caller, organization, items, wanted)
        except KeysteadError as error:
            self._refused(caller, operation, organization, len(items), error)
            raise
        self._records.used(caller, organization, operation, _counted(_keys(results)))
        return results


class RecordedRewrapping(_Recorded):
    """RewrapContentKeys, recorded."""

    def __init__(self, records: Records, rewrap: RewrapContentKeys) -> None:
        super().__init__(records)
        self._rewrap = rewrap

    def __call__(
        self,
        caller: Caller,
        organization: OrganizationId,
        items: Sequence[Item],
        *,
        kek: KekName | None = None,
        wanted: Wanted = always_wanted,
    ) -> list[RewrappedContentKey | KeysteadError]:
        """Return what RewrapContentKeys returns, and raise what it raises.

        Raises:
            AuditUnavailableError: it could not be recorded.
        """
        operation = Operation.REWRAP_CONTENT_KEYS
        try:
            self._records.demand_room(organization)
            results = self._rewrap(caller, organization, items, kek=kek, wanted=wanted)
        except KeysteadError as error:
            self._refused(caller, operation, organization, len(items), error)
            raise
        self._records.used(caller, organization, operation, _counted(_keys(results)))
        return results


_Key = tuple[ObjectId | None, str | None]
"""KEK and reason."""


def _keys(results: Sequence[UnwrappedContentKey | RewrappedContentKey | KeysteadError]) -> list[_Key]:
    """Return KEK and reason of each item; whose KEK is not proven has none."""
    return [(None, it.reason) if isinstance(it, KeysteadError) else (it.kek.id, None) for it in results]


def _counted(keys: Sequence[_Key]) -> Iterable[tuple[_Key, int]]:
    """Return how many items there are of each KEK and reason."""
    return Counter(keys).items() if len(keys) > 1 else [(keys[0], 1)]
