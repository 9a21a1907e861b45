"""What an organisation may do now: the main key in charge, read in the caller's transaction."""

from dataclasses import dataclass

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import ResourceNotFoundError
from server.domain.ids import OrganizationId, OrganizationName
from server.domain.main_keys import MainKey, State
from server.domain.moves import Situation
from server.domain.organizations import Organization
from server.domain.ports import Transaction


class BrokenRowsError(Exception):
    """Two rows contradict each other; the database's constraints should have made that impossible."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An organisation and its main key in charge."""

    organization: Organization
    main_key: MainKey

    def demand_unlocked(self) -> None:
        """Return if the organisation may work.

        Raises:
            OrganizationLockedError: its main key is REVOKED, DELETED or REMOVED.
        """
        self.snapshot.demand_unlocked()

    @property
    def snapshot(self) -> AuthoritySnapshot:
        """Return what of this decides whether the organisation may work."""
        return AuthoritySnapshot(self.organization.id, self.organization.epoch, self.main_key.id, self.main_key.state)


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
    return Authority(organization, main_key)


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
