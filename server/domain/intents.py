"""Intents: the row that comes before the token is asked to make or destroy an object.

An id is chosen and committed first; what a crash leaves behind in the token is then found by its CKA_ID and finished
(DESTROY) or undone (CREATE without the row that should have followed).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from server.domain.ids import ObjectId


class ObjectRole(StrEnum):
    """The role of an object in the token."""

    WRAPPING_KEY = "WRAPPING_KEY"
    MAIN_KEY = "MAIN_KEY"
    AUDIT_KEY = "AUDIT_KEY"


class Purpose(StrEnum):
    """What is going to happen to the object."""

    CREATE = "CREATE"
    DESTROY = "DESTROY"


@dataclass(frozen=True, slots=True)
class Intent:
    """An object of the token that is about to be made or destroyed."""

    object_id: ObjectId
    role: ObjectRole
    purpose: Purpose
    create_time: datetime
