"""The audit log: events, the nodes of their tree, checkpoints, and the key that signs them."""

from collections.abc import Sequence
from typing import Protocol

from server.domain.audit import AuditEvent, AuditFilter, RecordedEvent
from server.domain.checkpoints import AuditKey, Checkpoint
from server.domain.ids import ObjectId, OrganizationId
from server.domain.receipts import Receipt


class Audit(Protocol):
    """The audit logs of all organisations."""

    def append(self, event: AuditEvent) -> None:
        """Write one event; its number in its organisation is the next one.

        What a call changes is stamped with the ids of the call.
        """

    def size(self, organization: OrganizationId) -> int:
        """Return how many events there are."""

    def events(self, organization: OrganizationId, first: int, limit: int) -> list[RecordedEvent]:
        """Return up to `limit` events from the number `first` on, in their order."""

    def standing(self, organization: OrganizationId, subject: ObjectId | None) -> AuditEvent | None:
        """Return the last event that tells how a main key or an approval stands; None: how the rule of two does.

        Returns:
            None if there is no such event: what is so from the beginning.
        """

    def search(
        self, organization: OrganizationId, before: int | None, limit: int, wanted: AuditFilter
    ) -> tuple[list[RecordedEvent], int]:
        """Return up to `limit` events that are wanted, newest first, those with numbers below `before`.

        Returns:
            The events, and the number down to which was looked: 1 if nothing older is left. It may stop short of
            `limit`, where few are wanted among many.
        """

    def node_count(self, organization: OrganizationId, level: int) -> int:
        """Return how many hashes of subtrees of 2^level leaves are kept; they are those of the first places."""

    def nodes(self, organization: OrganizationId, level: int, first: int, limit: int) -> list[bytes]:
        """Return up to `limit` kept hashes of subtrees of 2^level leaves, from the place `first` on, in their order."""

    def add_nodes(self, organization: OrganizationId, level: int, first: int, hashes: Sequence[bytes]) -> None:
        """Keep hashes of subtrees; those that are there already stay."""

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint.

        Raises:
            ConcurrentChangeError: there is one of this size.
        """

    def newest_checkpoint(self, organization: OrganizationId) -> Checkpoint | None:
        """Return the newest checkpoint, or None."""

    def behind(self, after: OrganizationId | None, limit: int) -> list[OrganizationId]:
        """Return up to `limit` organisations whose log is not that of their newest checkpoint, by id, after `after`."""

    def pending_receipts(
        self, after: tuple[OrganizationId, int] | None, limit: int
    ) -> list[tuple[OrganizationId, int]]:
        """Return up to `limit` events of which a receipt is to be signed, by organisation and number, after `after`."""

    def receipt(self, organization: OrganizationId, sequence: int) -> Receipt | None:
        """Return the receipt of an event, or None if there is none, or none yet."""

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt of an event that waits for it; one that is there already stays."""

    def key(self) -> AuditKey | None:
        """Return the key that signs checkpoints, or None before it was made."""

    def set_key(self, key: AuditKey) -> None:
        """Keep what was made as the audit key, once and for all.

        Raises:
            ConcurrentChangeError: another process was faster.
        """

    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the ids that are the audit key's."""
