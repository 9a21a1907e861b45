"""Etags: a short word for the present state of a resource, by which a caller shows what it has seen.

Only what administrators decide upon counts: the progress of a rotation or a number of KEKs changes no etag.
"""

import hashlib

from server.domain.approvals import ApprovalRule
from server.domain.main_keys import MainKey
from server.domain.organizations import Organization
from server.domain.rotations import Rotation

_SIZE = 16


def _etag(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:_SIZE]


def etag_of_main_key(key: MainKey) -> str:
    """Return a main key's etag."""
    return _etag(key.organization, key.id, key.state, key.state_time, key.purge_time, key.reactivate_time)


def etag_of_organization(organization: Organization) -> str:
    """Return an organisation's etag."""
    return _etag(organization.id, organization.main_key, organization.epoch, organization.byok_enabled)


def etag_of_approval_rule(rule: ApprovalRule) -> str:
    """Return the etag of a rule of two persons."""
    return _etag(rule.organization, rule.words, rule.change_time)


def etag_of_rotation(rotation: Rotation) -> str:
    """Return a rotation's etag."""
    return _etag(rotation.organization, rotation.id, rotation.state, rotation.to_main_key, rotation.resume_time)
