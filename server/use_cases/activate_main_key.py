"""Activate a main key that is waiting."""

from server.domain.errors import IllegalTransitionError, ResourceNotFoundError
from server.domain.ids import MainKeyName
from server.domain.main_keys import Action, Origin, transition
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.activation import put_in_charge
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.views import MainKeyView, view_main_key


class ActivateMainKey:
    """Put a PENDING key in charge; the key that was ACTIVE rotates out."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, name: MainKeyName) -> MainKeyView:
        """Return the key, now ACTIVE.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such key.
            OrganizationLockedError: the main key in charge is REVOKED, DELETED or REMOVED.
            IllegalTransitionError: the key is not PENDING.
        """
        authorize(caller, Operation.ACTIVATE_MAIN_KEY, name.organization)
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, name.organization)
            key = tx.main_keys.find(name.organization, name.id)
            if key is None:
                raise ResourceNotFoundError(str(name))
            authority.demand_unlocked()
            in_charge = authority.main_key.id == key.id
            if key.origin is Origin.COMMON:
                # It takes over when BYOK is disabled, and never by being asked for.
                raise IllegalTransitionError(Action.ACTIVATE, key.state, ())
            activated = transition(key, Action.ACTIVATE, now=self._env.clock(), in_charge=in_charge)
            put_in_charge(tx, authority, activated, is_new=False, actor=caller.identity, new_id=self._env.new_id)
            return view_main_key(tx, lock_authority(tx, name.organization).organization, activated)
