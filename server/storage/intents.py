"""The rows of intents."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.errors import ConcurrentChangeError
from server.domain.ids import ObjectId
from server.domain.intents import Intent, Purpose
from server.storage.part import Part, values_of
from server.storage.tables import intents


class Intents(Part, ports.Intents):
    """The objects of the token that are about to be made or destroyed."""

    @override
    def add(self, intent: Intent) -> None:
        if intent.purpose is Purpose.DESTROY:
            self.execute(sa.delete(intents).where(intents.c.object_id == intent.object_id))
        self.execute(sa.insert(intents).values(values_of(intent)))

    @override
    def settle(self, object_id: ObjectId, purpose: Purpose) -> None:
        statement = sa.delete(intents).where(intents.c.object_id == object_id, intents.c.purpose == purpose)
        if self.execute(statement).rowcount != 1:
            raise ConcurrentChangeError

    @override
    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        query = sa.select(intents.c.object_id).where(intents.c.object_id.in_(list(ids)))
        return set(self.ids(query))

    @override
    def page(self, purpose: Purpose, before: datetime, limit: int) -> list[Intent]:
        query = (
            sa.select(intents)
            .where(intents.c.purpose == purpose, intents.c.create_time < before)
            .order_by(intents.c.create_time)
            .limit(limit)
        )
        return self.all(query, lambda row: Intent(**row))
