"""The uses of content keys, each as it is asked for, with a record of who did what to how many.

Around the use cases, and not in them, since they use each other: a rewrap is one thing to whoever reads the record.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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

    @contextmanager
    def _refusals(
        self, caller: Caller, operation: Operation, organization: OrganizationId, kek: KekName | None, count: int
    ) -> Iterator[None]:
        """Record that what the block does was refused as a whole, if it was."""
        try:
            self._records.demand_room()
            yield
        except ForbiddenError as error:
            resource = str(kek) if kek else f"organizations/{organization}"
            self._records.refused(Refusal(organization, caller.identity, operation, error.reason, resource))
            raise
        except KeysteadError as error:
            is_known = kek is not None and not isinstance(error, ResourceNotFoundError)
            known = kek.id if kek is not None and is_known else None
            self._records.used(caller, organization, operation, [((known, error.reason), count)])
            raise


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
        with self._refusals(caller, operation, kek.organization, kek, count):
            made = self._generate(caller, kek, count=count, size=size, context=context, wanted=wanted)
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
        with self._refusals(caller, operation, kek.organization, kek, len(items)):
            results = self._wrap(caller, kek, items, wanted)
        counts = Counter((kek.id, it.reason if isinstance(it, KeysteadError) else None) for it in results)
        self._records.used(caller, kek.organization, operation, counts.items())
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
        with self._refusals(caller, operation, organization, None, len(items)):
            results = self._unwrap(caller, organization, items, wanted)
        self._records.used(caller, organization, operation, _counts(results).items())
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
        with self._refusals(caller, operation, organization, None, len(items)):
            results = self._rewrap(caller, organization, items, kek=kek, wanted=wanted)
        self._records.used(caller, organization, operation, _counts(results).items())
        return results


def _counts(
    results: Sequence[UnwrappedContentKey | RewrappedContentKey | KeysteadError],
) -> Counter[tuple[ObjectId | None, str | None]]:
    """Return how many items there are of each KEK and reason; whose KEK is not proven has none."""
    return Counter((None, it.reason) if isinstance(it, KeysteadError) else (it.kek.id, None) for it in results)
