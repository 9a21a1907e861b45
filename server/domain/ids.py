"""Ids and resource names.

An organisation's id is chosen by its creator; every other id is 16 random bytes, written as 32 lower-case hexadecimal
digits. Resource names follow AIP-122: `organizations/{organization}/{collection}/{id}`.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, NewType, Self

from server.domain.errors import MalformedNameError

OrganizationId = NewType("OrganizationId", str)
ObjectId = NewType("ObjectId", str)

COMMON = ObjectId("common")
"""The id under which every organisation sees the common key."""

_ORGANIZATION = re.compile(r"[a-z][a-z0-9-]{1,61}[a-z0-9]")
_OBJECT = re.compile(r"[0-9a-f]{32}")


def organization_id(text: str) -> OrganizationId:
    """Return `text` as an organisation's id.

    Raises:
        MalformedNameError: it is not 3 to 63 of a-z, 0-9 and hyphen, from a letter to a letter or digit.
    """
    if not _ORGANIZATION.fullmatch(text):
        raise MalformedNameError("organization id", "3 to 63 of a-z, 0-9 and hyphens, starting with a letter")
    return OrganizationId(text)


def object_id(raw: bytes) -> ObjectId:
    """Return 16 bytes as an id."""
    if len(raw) != 16:  # noqa: PLR2004 - the size is the definition
        raise ValueError("an id is made of 16 bytes")
    return ObjectId(raw.hex())


@dataclass(frozen=True, slots=True)
class _Child:
    """A name below an organisation; subclasses say which collection."""

    organization: OrganizationId
    id: ObjectId

    collection: ClassVar[str]

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the parts of a resource name.

        Raises:
            MalformedNameError: `name` is not a name of this collection.
        """
        head, _, rest = name.partition("/")
        organization, _, rest = rest.partition("/")
        collection, _, last = rest.partition("/")
        well_formed = head == "organizations" and _ORGANIZATION.fullmatch(organization) and collection == cls.collection
        if not well_formed or not (_OBJECT.fullmatch(last) or cls._is_special(last)):
            raise MalformedNameError("name", f"organizations/ORGANIZATION/{cls.collection}/ID")
        return cls(OrganizationId(organization), ObjectId(last))

    @classmethod
    def _is_special(cls, _last: str) -> bool:
        return False

    def __str__(self) -> str:
        return f"organizations/{self.organization}/{self.collection}/{self.id}"


class WrappingKeyName(_Child):
    """`organizations/{organization}/wrappingKeys/{wrapping_key}`."""

    collection = "wrappingKeys"


class MainKeyName(_Child):
    """`organizations/{organization}/mainKeys/{main_key}`."""

    collection = "mainKeys"

    @classmethod
    def _is_special(cls, last: str) -> bool:
        return last == COMMON


class KekName(_Child):
    """`organizations/{organization}/keks/{kek}`."""

    collection = "keks"


class RotationName(_Child):
    """`organizations/{organization}/rotations/{rotation}`."""

    collection = "rotations"


_SEQUENCE = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AuditEventName:
    """`organizations/{organization}/auditEvents/{audit_event}`, whose id is a number."""

    organization: OrganizationId
    sequence: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the parts of a resource name.

        Raises:
            MalformedNameError: `name` is not the name of an event.
        """
        parent, _, last = name.rpartition("/auditEvents/")
        if not _SEQUENCE.fullmatch(last):
            raise MalformedNameError("name", "organizations/ORGANIZATION/auditEvents/NUMBER")
        return cls(OrganizationName.parse(parent).id, int(last))

    def __str__(self) -> str:
        return f"organizations/{self.organization}/auditEvents/{self.sequence}"


class ApprovalName(_Child):
    """`organizations/{organization}/approvals/{approval}`."""

    collection = "approvals"


@dataclass(frozen=True, slots=True)
class ApprovalRuleName:
    """`organizations/{organization}/approvalRule`."""

    organization: OrganizationId

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the organisation in a resource name.

        Raises:
            MalformedNameError: `name` is not the name of an organisation's rule.
        """
        head, _, rest = name.partition("/")
        organization, _, last = rest.partition("/")
        if head != "organizations" or not _ORGANIZATION.fullmatch(organization) or last != "approvalRule":
            raise MalformedNameError("name", "organizations/ORGANIZATION/approvalRule")
        return cls(OrganizationId(organization))

    def __str__(self) -> str:
        return f"organizations/{self.organization}/approvalRule"


@dataclass(frozen=True, slots=True)
class OrganizationName:
    """`organizations/{organization}`."""

    id: OrganizationId

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the id in a resource name.

        Raises:
            MalformedNameError: `name` is not the name of an organisation.
        """
        head, _, last = name.partition("/")
        if head != "organizations" or not _ORGANIZATION.fullmatch(last):
            raise MalformedNameError("name", "organizations/ORGANIZATION")
        return cls(OrganizationId(last))

    def __str__(self) -> str:
        return f"organizations/{self.id}"
