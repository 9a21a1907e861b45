"""Show an organisation's audit log, and prove it."""

from dataclasses import dataclass

from server.domain.audit import AuditFilter, RecordedEvent
from server.domain.audit_encoding import encoded
from server.domain.checkpoints import AuditKey, Checkpoint
from server.domain.errors import InvalidFieldError, ResourceNotFoundError
from server.domain.ids import AuditEventName, OrganizationId
from server.domain.merkle import consistency_path, inclusion_path, root_hash
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import read_authority
from server.use_cases.checkpoints import Checkpoints, Tree
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, token_of

_EXPORTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, and the key that has signed it."""

    checkpoint: Checkpoint
    key: AuditKey


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """An event, and what shows that it is in the log."""

    event: bytes
    """As it is hashed."""
    leaf_index: int
    tree_size: int
    path: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class ProvenGrowth:
    """What shows that a log has only grown."""

    old_size: int
    new_size: int
    path: tuple[bytes, ...]
    old_root: bytes
    new_root: bytes


class ReadAudit:
    """What an organisation's administrators see of its log.

    Each method may raise:
        ForbiddenError: the caller does not administer the organisation.
        ResourceNotFoundError: there is no such organisation.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._checkpoints = Checkpoints(env)

    def list_events(
        self, caller: Caller, organization: OrganizationId, page: PageRequest, wanted: AuditFilter
    ) -> Page[RecordedEvent]:
        """Return a page of events, newest first; it may be short, and yet not the last.

        Raises:
            InvalidFieldError: the page asked for cannot be.
        """
        authorize(caller, Operation.LIST_AUDIT_EVENTS, organization)
        limit, before = page.limit, page.last_number
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            found, down_to = tx.audit.search(organization, before, limit, wanted)
        return Page(found, token_of(str(down_to)) if down_to > 1 else "")

    def export(self, caller: Caller, organization: OrganizationId, first: int, last: int) -> list[bytes]:
        """Return the events from one number to another as they are hashed, up to 500 of them.

        Raises:
            InvalidFieldError: the first is not 1 or more.
        """
        authorize(caller, Operation.EXPORT_AUDIT_EVENTS, organization)
        if first < 1:
            raise InvalidFieldError("first_sequence", "1 or more")
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            found = tx.audit.events(organization, first, min(_EXPORTED_AT_ONCE, last - first + 1))
        return [encoded(it) for it in found]

    def size(self, caller: Caller, organization: OrganizationId) -> int:
        """Return how many events there are to export."""
        authorize(caller, Operation.EXPORT_AUDIT_EVENTS, organization)
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            return tx.audit.size(organization)

    def checkpoint(self, caller: Caller, organization: OrganizationId) -> SignedCheckpoint:
        """Return a fresh checkpoint."""
        authorize(caller, Operation.GET_AUDIT_CHECKPOINT, organization)
        return SignedCheckpoint(self._fresh(organization), self._checkpoints.key())

    def _fresh(self, organization: OrganizationId) -> Checkpoint:
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
        return self._checkpoints.fresh(organization)

    def prove_event(self, caller: Caller, name: AuditEventName, size: int | None) -> ProvenEvent:
        """Return an event with its proof in a tree of this size, or in that of the newest checkpoint.

        Raises:
            ResourceNotFoundError: there is no such event.
            InvalidFieldError: the tree does not reach so far, or is not signed yet.
        """
        authorize(caller, Operation.GET_INCLUSION_PROOF, name.organization)
        if size is None:
            size = self._fresh(name.organization).head.size
        with self._env.storage.read() as tx:
            self._demand_signed(tx, name.organization, size, "tree_size")
            found = tx.audit.events(name.organization, name.sequence, 1)
            if not found or found[0].sequence != name.sequence:
                raise ResourceNotFoundError(str(name))
            if name.sequence > size:
                raise InvalidFieldError("tree_size", f"at least {name.sequence}, the number of the event")
            tree = Tree(tx, name.organization)
            path = inclusion_path(name.sequence - 1, size, tree.node)
            root = root_hash(size, tree.node)
        return ProvenEvent(encoded(found[0]), name.sequence - 1, size, tuple(path), root)

    def prove_growth(self, caller: Caller, organization: OrganizationId, old: int, new: int | None) -> ProvenGrowth:
        """Return the proof that the log of the old size is the beginning of that of the new size.

        Raises:
            InvalidFieldError: the sizes are not 1 or more, in this order, and signed.
        """
        authorize(caller, Operation.GET_CONSISTENCY_PROOF, organization)
        if new is None:
            new = self._fresh(organization).head.size
        with self._env.storage.read() as tx:
            self._demand_signed(tx, organization, new, "new_size")
            if not 1 <= old <= new:
                raise InvalidFieldError("old_size", f"1 to {new}")
            tree = Tree(tx, organization)
            path = consistency_path(old, new, tree.node)
            roots = root_hash(old, tree.node), root_hash(new, tree.node)
        return ProvenGrowth(old, new, tuple(path), *roots)

    def _demand_signed(self, tx: Transaction, organization: OrganizationId, size: int, field: str) -> None:
        """Return if what is kept of the tree reaches so far."""
        read_authority(tx, organization)
        newest = tx.audit.newest_checkpoint(organization)
        limit = newest.head.size if newest else 0
        if not 1 <= size <= limit:
            raise InvalidFieldError(field, f"1 to {limit}, the size of the newest checkpoint")
