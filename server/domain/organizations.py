"""Organisations, and what the state of their main key means for their KEKs and content keys."""

from dataclasses import dataclass
from datetime import datetime

from server.domain.errors import OrganizationLockedError
from server.domain.ids import MainKeyName, ObjectId, OrganizationId
from server.domain.main_keys import LOCKING_STATES, MainKey

DISPLAY_NAME_LIMIT = 200
"""Characters."""


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer organisation."""

    id: OrganizationId
    display_name: str
    main_key: ObjectId
    """The main key in charge."""
    epoch: int
    """Raised by every change of the main key in charge or of its state; starts at 1."""
    create_time: datetime
    byok_enabled: bool = False
    """Whether main keys of its own may be put in charge. Bringing one enables it."""


def demand_unlocked(main_key: MainKey) -> None:
    """Return if the key in charge allows its organisation to work.

    Raises:
        OrganizationLockedError: it is REVOKED, DELETED or REMOVED.
    """
    if main_key.state in LOCKING_STATES:
        raise OrganizationLockedError(str(MainKeyName(main_key.organization, main_key.id)), main_key.state)
