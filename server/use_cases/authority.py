"""What an organisation may do now: the main key in charge, read in the caller's transaction."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import ResourceNotFoundError, StateDamagedError
from server.domain.ids import MainKeyName, OrganizationId, OrganizationName
from server.domain.main_keys import MainKey, State
from server.domain.moves import Situation
from server.domain.organizations import Organization
from server.domain.ports import Transaction
from server.domain.standing import is_main_key_recorded

_log = logging.getLogger(__name__)


class BrokenRowsError(Exception):
    """Two rows contradict each other; the database's constraints should have made that impossible."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An organisation and its main key in charge."""

    organization: Organization
    main_key: MainKey
    is_recorded: bool = True
    """Whether the audit log tells the same of the key's state."""

    def demand_unlocked(self) -> None:
        """Return if the organisation may work.

        Raises:
            OrganizationLockedError: its main key is REVOKED, DELETED or REMOVED.
            StateDamagedError: the audit log does not tell the same of the key's state.
        """
        self.snapshot.demand_unlocked()

    @property
    def snapshot(self) -> AuthoritySnapshot:
        """Return what of this decides whether the organisation may work."""
        organization, key = self.organization, self.main_key
        return AuthoritySnapshot(organization.id, organization.epoch, key.id, key.state, self.is_recorded)


def situation(tx: Transaction, authority: Authority) -> Situation:
    """Return what decides which moves the organisation's main keys can make."""
    organization = authority.organization
    return Situation(
        in_charge=authority.main_key,
        byok_enabled=organization.byok_enabled,
        pending=tx.main_keys.find_in_state(organization.id, State.PENDING),
        deleted_pending=tx.main_keys.find_deleted_pending(organization.id),
    )


def _with_main_key(tx: Transaction, organization_id: OrganizationId, organization: Organization | None) -> Authority:
    if organization is None:
        raise ResourceNotFoundError(str(OrganizationName(organization_id)))
    main_key = tx.main_keys.find(organization.id, organization.main_key)
    if main_key is None:
        raise BrokenRowsError(organization.id)
    return Authority(organization, main_key, is_recorded(tx, main_key))


def is_recorded(tx: Transaction, key: MainKey) -> bool:
    """Return whether a main key stands as the audit log tells."""
    return is_main_key_recorded(key, tx.audit.standing(key.organization, key.id))


def demand_recorded(tx: Transaction, key: MainKey) -> None:
    """Return if a main key, whose organisation the transaction has locked, stands as the audit log tells.

    Raises:
        StateDamagedError: it does not.
    """
    if not is_recorded(tx, key):
        raise StateDamagedError(str(MainKeyName(key.organization, key.id)))


@contextmanager
def passing_over_damage() -> Iterator[None]:
    """Let a block of the steward end early, and say so in the log, where rows are damaged: others wait for it, too."""
    try:
        yield
    except StateDamagedError as error:
        _log.error("state_damaged", extra={"text": str(error)})


def read_authority(tx: Transaction, organization: OrganizationId) -> Authority:
    """Return the organisation's authority as the transaction sees it.

    Raises:
        ResourceNotFoundError: there is no such organisation.
    """
    return _with_main_key(tx, organization, tx.organizations.find(organization))


def lock_authority(tx: Transaction, organization: OrganizationId) -> Authority:
    """Return the organisation's authority, which no other transaction changes before this one ends.

    Raises:
        ResourceNotFoundError: there is no such organisation.
    """
    return _with_main_key(tx, organization, tx.organizations.lock(organization))
