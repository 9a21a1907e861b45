"""What use cases answer, where a domain object alone does not say enough."""

from dataclasses import dataclass
from datetime import datetime

from server.domain.ids import KekName, MainKeyName
from server.domain.main_keys import Action, MainKey
from server.domain.moves import next_moves
from server.domain.organizations import Organization
from server.domain.ports import Transaction
from server.domain.rotations import Rotation
from server.domain.usage import Usage
from server.use_cases.authority import Authority, situation


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organisation and what it holds."""

    organization: Organization
    main_key: MainKey
    """The key in charge."""
    kek_count: int


@dataclass(frozen=True, slots=True)
class MainKeyView:
    """A main key and its place in its organisation."""

    key: MainKey
    kek_count: int
    next_moves: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class ImportedMainKey:
    """A main key that has arrived, beside the one that is ACTIVE now."""

    main_key: MainKeyView
    active: MainKeyName


@dataclass(frozen=True, slots=True)
class RotationView:
    """A rotation and what hinders it."""

    rotation: Rotation
    failed_keks: tuple[KekName, ...]
    """Up to 100 KEKs whose last re-wrap failed."""


@dataclass(frozen=True, slots=True)
class RevokedMainKey:
    """A main key that was revoked."""

    main_key: MainKeyView
    effective_time: datetime
    """By then at the latest nothing of the organisation works anywhere any more."""


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """What became of comparing a copy with a main key."""

    main_key: MainKeyView
    fingerprint: bytes
    """Of the copy, 32 bytes."""
    matching: MainKeyName | None
    """The organisation's main key that the copy is of, if any."""


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change would do."""

    kek_count: int
    """KEKs that could not be used, or would be re-wrapped."""
    stops_content_keys: bool
    """Whether content keys could no longer be made, wrapped or unwrapped."""
    usage: Usage
    obstacle: str
    """Why the change is not possible now; empty if it is."""
    effects: tuple[str, ...]
    """Sentences for people."""


def view_main_key(tx: Transaction, authority: Authority, key: MainKey) -> MainKeyView:
    """Return a main key with its number of KEKs and its moves."""
    counts = tx.keks.count_by_main_key([key.organization])
    moves = next_moves(key, situation(tx, authority))
    return MainKeyView(key, counts.get((key.organization, key.id), 0), moves)


def view_organization(tx: Transaction, authority: Authority) -> OrganizationView:
    """Return an organisation with its number of KEKs."""
    counts = tx.keks.count_by_main_key([authority.organization.id])
    return OrganizationView(authority.organization, authority.main_key, sum(counts.values()))


def view_rotation(tx: Transaction, rotation: Rotation) -> RotationView:
    """Return a rotation with the KEKs that fail."""
    failed = tx.keks.failed(rotation.organization, rotation.from_main_key, 100) if rotation.failed else []
    return RotationView(rotation, tuple(KekName(rotation.organization, kek) for kek in failed))
