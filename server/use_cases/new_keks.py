"""Make a key for a KEK: its first one, or the one that takes over from one that has encrypted as often as it may."""

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import ConcurrentChangeError
from server.domain.ids import OrganizationId
from server.domain.keks import Kek, binding_context
from server.domain.roles import Caller
from server.use_cases.authority import lock_authority, read_authority
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms

_TRIES = 3


def make_kek(
    env: Environment,
    caller: Caller,
    organization: OrganizationId,
    *,
    spent: Kek | None = None,
    terms: Terms = FREE,
) -> Kek:
    """Return a new KEK, wrapped under the main key that is ACTIVE when its row is committed.

    Args:
        env: the outside.
        caller: who asks.
        organization: whose it is to be.
        spent: the version whose place it takes; if another has done that already, that one is returned.
        terms: how it is asked for.

    Raises:
        ResourceNotFoundError: there is no such organisation.
        OrganizationLockedError: it may not work.
        RequestIdReusedError: the request's id was used for another one.
        AnsweredBefore: this very request was carried out before.
        ConcurrentChangeError: main keys changed faster than a KEK could be made.
    """
    for _ in range(_TRIES):
        kek = _try(env, caller, organization, spent, terms)
        if kek is not None:
            return kek
    raise ConcurrentChangeError


def _try(env: Environment, caller: Caller, organization: OrganizationId, spent: Kek | None, terms: Terms) -> Kek | None:
    """Make a KEK under the key that is ACTIVE now; None if it no longer is when the row is to be kept."""
    with env.storage.read() as tx:
        authority = read_authority(tx, organization)
        terms.demand_new(tx, caller, env.clock())
        authority.demand_unlocked()
    main_key = authority.main_key
    kek_id = env.new_id()
    wrapped = env.custody.create_kek(main_key.object_id, binding_context(organization, kek_id))
    with env.storage.write() as tx:
        authority = lock_authority(tx, organization)
        now = env.clock()
        terms.demand_new(tx, caller, now)
        authority.demand_unlocked()
        if authority.main_key.id != main_key.id:
            return None
        newest = tx.keks.newest(organization, spent.kek) if spent else None
        if newest and spent and newest.id != spent.id:
            return newest
        kek = Kek(
            organization=organization,
            id=kek_id,
            kek=spent.kek if spent else kek_id,
            version=spent.version + 1 if spent else 1,
            main_key=main_key.id,
            key=wrapped,
            reserved_encryptions=0,
            create_time=now,
            rewrap_time=None,
            retry_time=None,
        )
        tx.keks.add(kek)
        action = AuditAction.KEK_VERSION_CREATED if spent else AuditAction.KEK_CREATED
        tx.audit.append(AuditEvent(organization, now, caller.identity, action, kek_id, main_key=main_key.id))
        terms.keep(tx, caller, kek, now)
    return kek
