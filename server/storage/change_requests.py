"""The rows of answered requests."""

from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.change_requests import AnsweredRequest
from server.storage.part import Part, values_of
from server.storage.tables import change_requests as table


class AnsweredRequests(Part, ports.AnsweredRequests):
    """The changes that had an id, and their answers."""

    @override
    def find(self, caller: str, request_id: str) -> AnsweredRequest | None:
        query = sa.select(table).where(table.c.caller == caller, table.c.request_id == request_id)
        return self.one(query, lambda row: AnsweredRequest(**row))

    @override
    def add(self, request: AnsweredRequest) -> None:
        self.execute(
            sa.delete(table).where(
                table.c.caller == request.caller,
                table.c.request_id == request.request_id,
                table.c.create_time < request.create_time,
            )
        )
        self.execute(sa.insert(table).values(values_of(request)))

    @override
    def forget(self, before: datetime, limit: int) -> int:
        due = sa.select(table.c.caller, table.c.request_id).where(table.c.create_time < before).limit(limit)
        found = [tuple(row) for row in self.execute(due)]
        for caller, request_id in found:
            self.execute(sa.delete(table).where(table.c.caller == caller, table.c.request_id == request_id))
        return len(found)
