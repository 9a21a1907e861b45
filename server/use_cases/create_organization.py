"""Create an organisation."""

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import InvalidFieldError, OrganizationExistsError, TokenUnavailableError
from server.domain.ids import COMMON, OrganizationId
from server.domain.main_keys import MainKey, Origin, State
from server.domain.organizations import DISPLAY_NAME_LIMIT, Organization
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms
from server.use_cases.views import OrganizationView


class CreateOrganization:
    """Make an organisation whose main key is the common key."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(
        self, caller: Caller, organization: OrganizationId, display_name: str, terms: Terms = FREE
    ) -> OrganizationView:
        """Return the new organisation.

        Raises:
            ForbiddenError: the caller is no operator.
            InvalidFieldError: the display name is too long or not printable.
            OrganizationExistsError: an organisation of this id exists.
            RequestIdReusedError: the request's id was used for another one.
            AnsweredBefore: this very request was carried out before.
        """
        authorize(caller, Operation.CREATE_ORGANIZATION, organization)
        if len(display_name) > DISPLAY_NAME_LIMIT or not display_name.isprintable():
            raise InvalidFieldError("display_name", f"at most {DISPLAY_NAME_LIMIT} printable characters")
        now = self._env.clock()
        made = Organization(organization, display_name, COMMON, epoch=1, create_time=now)
        try:
            return self._make(caller, made, terms)
        except OrganizationExistsError:
            # The same request may have been sent twice at once: then the other one has the answer.
            with self._env.storage.read() as tx:
                terms.demand_new(tx, caller, now)
            raise

    def _make(self, caller: Caller, made: Organization, terms: Terms) -> OrganizationView:
        now = made.create_time
        with self._env.storage.write() as tx:
            terms.demand_new(tx, caller, now)
            common = tx.main_keys.common()
            if common is None:
                # Every process makes sure of the common key before it serves; a database that lost it is an outage.
                raise TokenUnavailableError
            object_id, fingerprint = common
            tx.organizations.add(made)
            main_key = MainKey(
                organization=made.id,
                id=COMMON,
                object_id=object_id,
                origin=Origin.COMMON,
                state=State.ACTIVE,
                prior_state=None,
                fingerprint=fingerprint,
                create_time=now,
                state_time=now,
                purge_time=None,
                activate_time=now,
            )
            tx.main_keys.add(main_key)
            tx.audit.append(AuditEvent(made.id, now, caller.identity, AuditAction.ORGANIZATION_CREATED, subject=None))
            view = OrganizationView(made, main_key, kek_count=0)
            terms.keep(tx, caller, view, now)
        return view
