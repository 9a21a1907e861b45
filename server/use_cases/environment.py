"""What every use case is given."""

from collections.abc import Callable
from dataclasses import dataclass

from server.domain.limits import Limits
from server.domain.ports import Clock, Custody, NewId, Storage


@dataclass(frozen=True, slots=True)
class Environment:
    """The outside, as the use cases see it."""

    storage: Storage
    custody: Custody
    clock: Clock
    new_id: NewId
    sleep_until: Callable[[float], None]
    """Returns when the monotonic clock has reached the given seconds."""
    monotonic: Callable[[], float]
    """Returns seconds since some moment; never goes back, and goes on while the machine sleeps."""
    limits: Limits
