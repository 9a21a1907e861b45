"""The rows of rules of two persons, and of approvals."""

from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.approvals import Approval, ApprovalRule, ExactAct
from server.domain.ids import ObjectId, OrganizationId
from server.storage.part import Part, values_of
from server.storage.tables import approval_rules as rules
from server.storage.tables import approvals as table


def _approval(row: sa.RowMapping) -> Approval:
    return Approval(**row)


class Approvals(Part, ports.Approvals):
    """The rules, and the approvals of all organisations."""

    @override
    def rule(self, organization: OrganizationId) -> ApprovalRule:
        query = sa.select(rules).where(rules.c.organization == organization)
        return self.one(query, lambda row: ApprovalRule(**row)) or ApprovalRule(organization)

    @override
    def set_rule(self, rule: ApprovalRule) -> None:
        self.execute(sa.delete(rules).where(rules.c.organization == rule.organization))
        if rule.enabled:
            self.execute(sa.insert(rules).values(values_of(rule)))

    @override
    def add(self, approval: Approval) -> None:
        self.execute(sa.insert(table).values(values_of(approval)))

    @override
    def find(self, organization: OrganizationId, approval: ObjectId) -> Approval | None:
        query = sa.select(table).where(table.c.organization == organization, table.c.id == approval)
        return self.one(query, _approval)

    @override
    def matching(self, organization: OrganizationId, exact: ExactAct, now: datetime) -> list[Approval]:
        query = sa.select(table).where(
            table.c.organization == organization,
            table.c.act == exact.act,
            table.c.target == exact.target,
            table.c.etag == exact.etag,
            table.c.new_rule == exact.new_rule,
            table.c.expire_time > now,
        )
        return self.all(query.order_by(table.c.create_time, table.c.id), _approval)

    @override
    def remove(self, organization: OrganizationId, approval: ObjectId) -> None:
        self.change(sa.delete(table).where(table.c.organization == organization, table.c.id == approval))

    @override
    def page(self, organization: OrganizationId, before: ObjectId | None, limit: int, now: datetime) -> list[Approval]:
        query = sa.select(table).where(table.c.organization == organization, table.c.expire_time > now)
        if before is not None:
            query = self.page_before(query, table, "create_time", organization, before)
        return self.all(query.order_by(table.c.create_time.desc(), table.c.id.desc()).limit(limit), _approval)

    @override
    def forget(self, before: datetime, limit: int) -> int:
        due = sa.select(table.c.organization, table.c.id).where(table.c.expire_time <= before).limit(limit)
        found = [tuple(row) for row in self.execute(due)]
        for organization, approval in found:
            self.execute(sa.delete(table).where(table.c.organization == organization, table.c.id == approval))
        return len(found)
