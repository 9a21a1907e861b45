"""Create a KEK."""

from server.domain.ids import OrganizationId
from server.domain.keks import Kek
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.environment import Environment
from server.use_cases.new_keks import make_kek
from server.use_cases.terms import FREE, Terms


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
        return make_kek(self._env, caller, organization, terms=terms)
