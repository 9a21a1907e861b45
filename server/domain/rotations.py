"""Rotations: what is left to re-wrap after a main key was replaced."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from server.domain.ids import ObjectId, OrganizationId


class RotationState(StrEnum):
    """How far a rotation is."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    CANCELLED = "CANCELLED"
    """The replaced key was put in charge again: its KEKs are where they should be."""


FINISHED = frozenset({RotationState.DONE, RotationState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Rotation:
    """The re-wrapping of every KEK from a replaced main key to the one in charge."""

    organization: OrganizationId
    id: ObjectId
    from_main_key: ObjectId
    to_main_key: ObjectId
    state: RotationState
    total: int
    done: int
    failed: int
    start_time: datetime
    end_time: datetime | None
    resume_time: datetime
    """Since when it has been running without a pause."""
    resume_done: int
    """How many KEKs were done then."""
    progress_time: datetime | None = None
    """When the last KEK was re-wrapped."""

    @property
    def is_finished(self) -> bool:
        """Return whether nothing more happens to it."""
        return self.state in FINISHED

    @property
    def rate(self) -> float:
        """Return how many KEKs are re-wrapped in a second, since it began or was resumed; 0 before the first."""
        if self.progress_time is None or self.progress_time <= self.resume_time:
            return 0.0
        return (self.done - self.resume_done) / (self.progress_time - self.resume_time).total_seconds()

    @property
    def estimated_end_time(self) -> datetime | None:
        """Return when it will end at this rate; None when that cannot be told."""
        if self.state is not RotationState.RUNNING or not self.rate or self.progress_time is None:
            return None
        return self.progress_time + timedelta(seconds=max(0, self.total - self.done) / self.rate)


@dataclass(frozen=True, slots=True)
class RotationCounts:
    """What is under way, over all organisations."""

    running: int
    paused: int
    keks_left: int
    """KEKs that wait to be re-wrapped, those included that fail."""
    keks_failed: int
