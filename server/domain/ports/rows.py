"""What is kept in the database, one class a kind of row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from server.domain.approvals import Approval, ApprovalRule, ExactAct
from server.domain.authority import AuthoritySnapshot
from server.domain.change_requests import AnsweredRequest
from server.domain.ids import ObjectId, OrganizationId
from server.domain.intents import Intent, Purpose
from server.domain.keks import Kek
from server.domain.main_keys import MainKey, State
from server.domain.organizations import Organization
from server.domain.rotations import Rotation, RotationCounts
from server.domain.usage import HourOfUse, Usage
from server.domain.wrapping_keys import Algorithm, WrappingKey


class Organizations(Protocol):
    """The organisations."""

    def add(self, organization: Organization) -> None:
        """Keep a new organisation.

        Raises:
            OrganizationExistsError: one of this id exists.
        """

    def find(self, organization: OrganizationId) -> Organization | None:
        """Return the organisation, or None."""

    def lock(self, organization: OrganizationId) -> Organization | None:
        """Return the organisation, or None, and let no other transaction lock it until this one ends."""

    def update(self, organization: Organization) -> None:
        """Keep the changed organisation, which this transaction has locked."""

    def authorities(self, organizations: Sequence[OrganizationId]) -> list[AuthoritySnapshot]:
        """Return what decides whether these organisations may work, of those of them that exist."""

    def page(
        self, after: OrganizationId | None, limit: int, only: frozenset[OrganizationId] | None
    ) -> list[Organization]:
        """Return up to `limit` organisations by id, those after `after`, and of those in `only` unless it is None."""


class MainKeys(Protocol):
    """The main keys of all organisations, and the common key's object."""

    def add(self, key: MainKey) -> None:
        """Keep a new main key."""

    def find(self, organization: OrganizationId, key: ObjectId) -> MainKey | None:
        """Return the main key, or None."""

    def find_by_fingerprint(self, organization: OrganizationId, fingerprint: bytes) -> MainKey | None:
        """Return the organisation's main key with this fingerprint, in whatever state, or None."""

    def find_by_object(self, object_id: ObjectId) -> MainKey | None:
        """Return the main key, of whatever organisation, whose object in the token has or had this id; or None."""

    def find_in_state(self, organization: OrganizationId, state: State) -> MainKey | None:
        """Return the organisation's newest main key in this state, or None."""

    def update(self, key: MainKey) -> None:
        """Keep the changed main key, whose organisation this transaction has locked."""

    def page(
        self, organization: OrganizationId, before: ObjectId | None, limit: int, *, show_removed: bool
    ) -> list[MainKey]:
        """Return up to `limit` main keys, newest first (ties by id), those that come after the key `before`."""

    def in_state(self, state: State, limit: int) -> list[MainKey]:
        """Return up to `limit` main keys of all organisations in this state, longest there first."""

    def leading(self, organizations: Sequence[OrganizationId]) -> dict[OrganizationId, MainKey]:
        """Return the main key in charge of each of these organisations."""

    def find_deleted_pending(self, organization: OrganizationId) -> MainKey | None:
        """Return the organisation's main key that is DELETED and was PENDING before, or None."""

    def due(self, state: State, now: datetime, limit: int) -> list[MainKey]:
        """Return up to `limit` main keys of all organisations in this state whose purge time has come."""

    def to_reactivate(self, now: datetime, limit: int) -> list[MainKey]:
        """Return up to `limit` REVOKED main keys of all organisations whose timed revocation has run out."""

    def to_remind(self, activated_before: datetime, limit: int) -> list[MainKey]:
        """Return up to `limit` uploaded main keys that are ACTIVE since before then and not reminded of."""

    def count_to_rotate(self, activated_before: datetime) -> int:
        """Return how many uploaded main keys have been ACTIVE since before then."""

    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the object ids that are the common key's, or a main key's that the token is to hold."""

    def walk(self, after: tuple[OrganizationId, ObjectId] | None, limit: int) -> list[MainKey]:
        """Return up to `limit` main keys of all organisations, by organisation and id, those after `after`."""

    def common(self) -> tuple[ObjectId, bytes] | None:
        """Return the common key's object id and fingerprint (32 bytes), or None before it was made."""

    def set_common(self, object_id: ObjectId, fingerprint: bytes, now: datetime) -> None:
        """Keep what was made as the common key, once and for all.

        Raises:
            ConcurrentChangeError: another process was faster.
        """


class WrappingKeys(Protocol):
    """The wrapping keys of all organisations."""

    def add(self, key: WrappingKey) -> None:
        """Keep a new wrapping key."""

    def find(self, organization: OrganizationId, key: ObjectId) -> WrappingKey | None:
        """Return the wrapping key, or None."""

    def usable(self, organization: OrganizationId, algorithm: Algorithm | None, now: datetime) -> WrappingKey | None:
        """Return the organisation's newest usable wrapping key (of this algorithm, if one is named), or None."""

    def update(self, key: WrappingKey) -> None:
        """Keep the changed wrapping key, whose organisation this transaction has locked."""

    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the ids that are wrapping keys, of whatever organisation, which the token is to hold."""

    def expired(self, now: datetime, limit: int) -> list[WrappingKey]:
        """Return up to `limit` wrapping keys of all organisations that are USABLE in name, but past their time."""


class Keks(Protocol):
    """The KEKs of all organisations."""

    def add(self, kek: Kek) -> None:
        """Keep a new KEK."""

    def newest(self, organization: OrganizationId, kek: ObjectId) -> Kek | None:
        """Return the newest version of a KEK, or None if there is no such KEK."""

    def find_many(self, organization: OrganizationId, keks: frozenset[ObjectId]) -> dict[ObjectId, Kek]:
        """Return those of the versions of KEKs that exist in the organisation."""

    def page(self, organization: OrganizationId, after: ObjectId | None, limit: int) -> list[Kek]:
        """Return up to `limit` KEKs by id, those after `after`; of each its newest version."""

    def count_by_main_key(
        self, organizations: Sequence[OrganizationId]
    ) -> Mapping[tuple[OrganizationId, ObjectId], int]:
        """Return the number of versions of KEKs under each main key of these organisations; none is left out."""

    def are_under(self, organization: OrganizationId, main_key: ObjectId) -> bool:
        """Return whether there is any KEK under a main key."""

    def failed(self, organization: OrganizationId, main_key: ObjectId, limit: int) -> list[ObjectId]:
        """Return up to `limit` KEKs of which a version is under a main key and its last re-wrap failed."""

    def reserve_encryptions(self, organization: OrganizationId, kek: ObjectId, count: int, limit: int) -> bool:
        """Take encryptions of a version of a KEK if no more than `limit` are taken then; return whether it did."""


class Rotations(Protocol):
    """The rotations of all organisations."""

    def add(self, rotation: Rotation) -> None:
        """Keep a new rotation."""

    def find(self, organization: OrganizationId, rotation: ObjectId) -> Rotation | None:
        """Return the rotation, or None."""

    def page(self, organization: OrganizationId, before: ObjectId | None, limit: int) -> list[Rotation]:
        """Return up to `limit` rotations, newest first (ties by id), those that come after the rotation `before`."""

    def unfinished(self, organization: OrganizationId) -> list[Rotation]:
        """Return the organisation's rotations that are RUNNING or PAUSED."""

    def count_unfinished(self) -> RotationCounts:
        """Return how many rotations are RUNNING or PAUSED, of all organisations, and how many KEKs wait for them."""

    def update(self, rotation: Rotation) -> None:
        """Keep the changed rotation, whose organisation this transaction has locked."""


class Intents(Protocol):
    """The objects of the token that are about to be made or destroyed."""

    def add(self, intent: Intent) -> None:
        """Keep a new intent; a DESTROY takes the place of a CREATE for the same object."""

    def settle(self, object_id: ObjectId, purpose: Purpose) -> None:
        """Forget an intent, since what it announced is done or undone.

        Raises:
            ConcurrentChangeError: there is none (any more): somebody else has finished or undone it.
        """

    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the ids that have an intent."""

    def page(self, purpose: Purpose, before: datetime, limit: int) -> list[Intent]:
        """Return up to `limit` intents of this purpose that are older than `before`, oldest first."""


class AnsweredRequests(Protocol):
    """The changes of the last 24 hours that had an id, and their answers."""

    def find(self, caller: str, request_id: str) -> AnsweredRequest | None:
        """Return the request, or None."""

    def add(self, request: AnsweredRequest) -> None:
        """Keep an answered request, in place of an older one of the same id.

        Raises:
            ConcurrentChangeError: the same request was answered at the same time.
        """

    def forget(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` requests that are older than `before`; return how many."""


class Uses(Protocol):
    """How much the content keys of all organisations are used."""

    def add(self, hours: Sequence[HourOfUse]) -> None:
        """Add to what is known of these hours."""

    def of(self, organization: OrganizationId, now: datetime) -> Usage:
        """Return the organisation's usage up to now."""

    def forget(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` hours that began before; return how many."""


class Approvals(Protocol):
    """The rules of two persons, and the approvals of all organisations."""

    def rule(self, organization: OrganizationId) -> ApprovalRule:
        """Return the organisation's rule; one that is off if it has set none."""

    def set_rule(self, rule: ApprovalRule) -> None:
        """Keep the rule of an organisation, which this transaction has locked."""

    def add(self, approval: Approval) -> None:
        """Keep a new approval."""

    def find(self, organization: OrganizationId, approval: ObjectId) -> Approval | None:
        """Return the approval, or None."""

    def matching(self, organization: OrganizationId, exact: ExactAct, now: datetime) -> list[Approval]:
        """Return the approvals of this very act that are good now, oldest first."""

    def remove(self, organization: OrganizationId, approval: ObjectId) -> None:
        """Forget an approval, whose organisation this transaction has locked."""

    def page(self, organization: OrganizationId, before: ObjectId | None, limit: int, now: datetime) -> list[Approval]:
        """Return up to `limit` approvals that are good now, newest first (ties by id), those after `before`."""

    def forget(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` approvals that were over before; return how many."""
