"""What use cases answer, where a domain object alone does not say enough."""

from dataclasses import dataclass

from server.domain.ids import MainKeyName
from server.domain.main_keys import MainKey
from server.domain.organizations import Organization
from server.domain.ports import Transaction


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organisation and what it holds."""

    organization: Organization
    kek_count: int


@dataclass(frozen=True, slots=True)
class MainKeyView:
    """A main key and its place in its organisation."""

    key: MainKey
    kek_count: int
    in_charge: bool


@dataclass(frozen=True, slots=True)
class ImportedMainKey:
    """A main key that has arrived, beside the one that is ACTIVE now."""

    main_key: MainKeyView
    active: MainKeyName


def view_main_key(tx: Transaction, organization: Organization, key: MainKey) -> MainKeyView:
    """Return a main key with its number of KEKs."""
    counts = tx.keks.count_by_main_key([organization.id])
    return MainKeyView(key, counts.get((organization.id, key.id), 0), organization.main_key == key.id)
