"""The rows of use: one an organisation and hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.ids import OrganizationId
from server.domain.usage import HourOfUse, Usage
from server.storage.part import Part, values_of
from server.storage.tables import content_key_uses as table

_DAY = timedelta(days=1)


class Uses(Part, ports.Uses):
    """How much the content keys of all organisations are used."""

    @override
    def add(self, hours: Sequence[HourOfUse]) -> None:
        # In one order, so that two processes never wait for each other.
        for hour in sorted(hours, key=lambda hour: (hour.organization, hour.hour)):
            statement = self.insert(table).values(values_of(hour))
            new = statement.excluded
            later = sa.case((table.c.last_use_time < new.last_use_time, new.last_use_time), else_=table.c.last_use_time)
            self.execute(
                statement.on_conflict_do_update(
                    index_elements=["organization", "hour"],
                    set_={"calls": table.c.calls + new.calls, "last_use_time": later},
                )
            )

    @override
    def of(self, organization: OrganizationId, now: datetime) -> Usage:
        latest = sa.func.max(table.c.last_use_time, type_=table.c.last_use_time.type)
        last_use = self.value(sa.select(latest).where(table.c.organization == organization))
        return Usage(
            last_day=self._since(organization, now - _DAY),
            last_30_days=self._since(organization, now - 30 * _DAY),
            last_use_time=last_use,
        )

    def _since(self, organization: OrganizationId, moment: datetime) -> int:
        # An hour counts as long as any of it is within the time asked for.
        query = sa.select(sa.func.coalesce(sa.func.sum(table.c.calls), 0)).where(
            table.c.organization == organization, table.c.hour > moment - timedelta(hours=1)
        )
        return int(self.value(query))

    @override
    def forget(self, before: datetime, limit: int) -> int:
        due = sa.select(table.c.organization, table.c.hour).where(table.c.hour < before).limit(limit)
        found = list(self.all(due, lambda row: (row["organization"], row["hour"])))
        for organization, hour in found:
            self.execute(sa.delete(table).where(table.c.organization == organization, table.c.hour == hour))
        return len(found)
