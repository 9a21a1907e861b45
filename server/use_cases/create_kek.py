"""Create a KEK."""

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import ConcurrentChangeError
from server.domain.ids import OrganizationId
from server.domain.keks import Kek, binding_context
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import lock_authority, read_authority
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms

_TRIES = 3


class CreateKek:
    """Make a KEK in the token, wrapped under the main key that is ACTIVE when its row is committed."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, organization: OrganizationId, terms: Terms = FREE) -> Kek:
        """Return the new KEK.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            ResourceNotFoundError: there is no such organisation.
            OrganizationLockedError: the main key in charge is REVOKED, DELETED or REMOVED.
            RequestIdReusedError: the request's id was used for another one.
            AnsweredBefore: this very request was carried out before.
            ConcurrentChangeError: main keys changed faster than a KEK could be made.
        """
        authorize(caller, Operation.CREATE_KEK, organization)
        for _ in range(_TRIES):
            kek = self._try(caller, organization, terms)
            if kek is not None:
                return kek
        raise ConcurrentChangeError

    def _try(self, caller: Caller, organization: OrganizationId, terms: Terms) -> Kek | None:
        """Make a KEK under the key that is ACTIVE now; None if it no longer is when the row is to be kept."""
        with self._env.storage.read() as tx:
            authority = read_authority(tx, organization)
            terms.demand_new(tx, caller, self._env.clock())
            authority.demand_unlocked()
        main_key = authority.main_key
        kek_id = self._env.new_id()
        wrapped = self._env.custody.create_kek(main_key.object_id, binding_context(organization, kek_id))
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            authority.demand_unlocked()
            if authority.main_key.id != main_key.id:
                return None
            kek = Kek(
                organization=organization,
                id=kek_id,
                main_key=main_key.id,
                key=wrapped,
                reserved_encryptions=0,
                create_time=now,
                rewrap_time=None,
                retry_time=None,
            )
            tx.keks.add(kek)
            tx.audit.append(AuditEvent(organization, now, caller.identity, AuditAction.KEK_CREATED, kek_id))
            terms.keep(tx, caller, kek, now)
        return kek
