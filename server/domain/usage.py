"""How much an organisation uses its content keys: what a change would stop."""

from dataclasses import dataclass
from datetime import datetime

from server.domain.ids import OrganizationId


@dataclass(frozen=True, slots=True)
class HourOfUse:
    """Content keys made, wrapped and unwrapped by one organisation in one hour."""

    organization: OrganizationId
    hour: datetime
    """Its beginning."""
    calls: int
    last_use_time: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of an organisation's content keys up to now."""

    last_day: int
    last_30_days: int
    last_use_time: datetime | None
