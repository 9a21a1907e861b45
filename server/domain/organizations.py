"""Organisations."""

from dataclasses import dataclass
from datetime import datetime

from server.domain.ids import ObjectId, OrganizationId

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
