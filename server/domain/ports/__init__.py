"""What the use cases ask of the outside: storage, the token, time and fresh ids.

An implementation promises the errors named here and wraps all others. Every aware datetime is in UTC.
"""

from server.domain.ports.audit import Audit
from server.domain.ports.custody import Custody, KeksInUse
from server.domain.ports.officer import ExaminedKey, Officer, OfficerPin
from server.domain.ports.rows import (
    AnsweredRequests,
    Approvals,
    Intents,
    Keks,
    MainKeys,
    Organizations,
    Rotations,
    Uses,
    WrappingKeys,
)
from server.domain.ports.storage import Changes, Rewrap, RewrapBatch, Storage, Transaction
from server.domain.ports.surroundings import Clock, NewId, Wanted, always_wanted, while_wanted

__all__ = [
    "AnsweredRequests",
    "Approvals",
    "Audit",
    "Changes",
    "Clock",
    "Custody",
    "ExaminedKey",
    "Intents",
    "Keks",
    "KeksInUse",
    "MainKeys",
    "NewId",
    "Officer",
    "OfficerPin",
    "Organizations",
    "Rewrap",
    "RewrapBatch",
    "Rotations",
    "Storage",
    "Transaction",
    "Uses",
    "Wanted",
    "WrappingKeys",
    "always_wanted",
    "while_wanted",
]
