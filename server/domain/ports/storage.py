"""The database, and its transactions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.domain.audit import AuditEvent
from server.domain.ids import ObjectId, OrganizationId
from server.domain.keks import Kek
from server.domain.ports.audit import Audit
from server.domain.ports.rows import (
    AnsweredRequests,
    Approvals,
    Intents,
    Keks,
    MainKeys,
    Organizations,
    Rotations,
    Uses,
    WrappingKeys,
)


class Transaction(Protocol):
    """All that one transaction reads and writes.

    Every method of every part may also raise StorageUnavailableError (the database does not answer) and
    ConcurrentChangeError (the database found two transactions in conflict); then nothing of the transaction holds.
    """

    organizations: Organizations
    main_keys: MainKeys
    wrapping_keys: WrappingKeys
    keks: Keks
    rotations: Rotations
    intents: Intents
    audit: Audit
    requests: AnsweredRequests
    uses: Uses
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class Rewrap:
    """What became of one KEK of a batch."""

    kek: Kek
    """As it was claimed."""
    wrapped: bytes | None
    """40 bytes, proven in the token; None when it failed."""
    retry_time: datetime | None
    """When it is to be tried again; None when it did not fail."""


class RewrapBatch(Protocol):
    """KEKs that nobody else re-wraps meanwhile."""

    @property
    def keks(self) -> Sequence[Kek]:
        """The KEKs, still under the replaced main key."""

    def finish(self, rewraps: Sequence[Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        """Swap the rows by compare-and-set on main key and wrapped form, and count the progress, in one transaction.

        The swap is refused as a whole unless the organisation's main key is still `to_main_key` and ACTIVE.

        Returns:
            How many KEKs were swapped. 0 as well when the whole was refused.
        """


class Changes(Protocol):
    """What somebody hears of the changes that others commit."""

    def wait(self, seconds: float) -> bool:
        """Return when something may have changed, at the latest after `seconds`.

        Returns:
            False only if nothing at all was committed since the last time this returned.
        """


class Storage(Protocol):
    """The database."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one state and changes nothing."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that commits when its block ends, and rolls back when an exception leaves it."""

    def record(self, events: Mapping[OrganizationId, Sequence[AuditEvent]]) -> Iterator[OrganizationId]:
        """Write events that were collected for a moment; yield each organisation as soon as its events are kept.

        Nobody waits for who writes them, not even if he is stopped meanwhile. What is of no organisation that exists is
        left out.
        """

    def claim_keks(
        self, organization: OrganizationId, main_key: ObjectId, now: datetime, limit: int
    ) -> AbstractContextManager[RewrapBatch]:
        """Claim up to `limit` KEKs under `main_key` whose retry time, if any, has come; the block ends the claim."""

    def changes(self) -> AbstractContextManager[Changes]:
        """Hear of the organisations whose main key or its state changes, for a block.

        Raises:
            StorageUnavailableError: the database does not answer, at the start or later; it ends the block.
        """

    def check(self) -> None:
        """Return if the database answers and has the schema that this program needs.

        Raises:
            StorageUnavailableError: it does not.
        """
