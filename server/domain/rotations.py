"""Rotations: what is left to re-wrap after a main key was replaced."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from server.domain.ids import ObjectId, OrganizationId


class RotationState(StrEnum):
    """How far a rotation is."""

    RUNNING = "RUNNING"
    DONE = "DONE"


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
