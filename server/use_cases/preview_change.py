"""Say what a change would do, before anybody makes it."""

from collections.abc import Callable
from enum import StrEnum

from server.domain.errors import FailedPreconditionError, ResourceNotFoundError
from server.domain.ids import COMMON, MainKeyName
from server.domain.main_keys import Action, MainKey, Origin, State
from server.domain.moves import Situation, transition
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import Authority, read_authority, situation
from server.use_cases.environment import Environment
from server.use_cases.views import ChangePreview


class Change(StrEnum):
    """What can be previewed."""

    REVOKE = "REVOKE"
    DELETE = "DELETE"
    DISABLE_BYOK = "DISABLE_BYOK"


class PreviewChange:
    """What a revocation, a deletion or the end of BYOK would affect."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, name: MainKeyName, change: Change) -> ChangePreview:
        """Return what the change of this main key would do; for DISABLE_BYOK, of the one in charge.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such main key.
        """
        authorize(caller, Operation.PREVIEW_CHANGE, name.organization)
        now = self._env.clock()
        with self._env.storage.read() as tx:
            authority = read_authority(tx, name.organization)
            key = tx.main_keys.find(name.organization, name.id)
            if key is None:
                raise ResourceNotFoundError(str(name))
            where = situation(tx, authority)
            counts = tx.keks.count_by_main_key([name.organization])
            usage = tx.uses.of(name.organization, now)
            obstacle = _obstacle(lambda: self._try(tx, authority, key, change, where))
        affected = key if change is not Change.DISABLE_BYOK else authority.main_key
        in_use = where.leads(key) and key.state is State.ACTIVE
        is_common_already = change is Change.DISABLE_BYOK and affected.origin is Origin.COMMON
        return ChangePreview(
            kek_count=0 if is_common_already else counts.get((name.organization, affected.id), 0),
            stops_content_keys=change is Change.REVOKE and in_use,
            usage=usage,
            obstacle=obstacle,
            effects=() if obstacle else self._effects(change, affected),
        )

    def _try(self, tx: Transaction, authority: Authority, key: MainKey, change: Change, where: Situation) -> None:
        """Make the change in thought.

        Raises:
            FailedPreconditionError: it is not possible.
        """
        now = self._env.clock()
        if change is Change.DISABLE_BYOK:
            authority.demand_unlocked()
            common = tx.main_keys.find(key.organization, COMMON)
            if common is not None and authority.main_key.origin is not Origin.COMMON:
                transition(common, Action.TAKE_OVER, where, now=now)
        else:
            action = Action.REVOKE if change is Change.REVOKE else Action.DELETE
            transition(key, action, where, now=now)

    def _effects(self, change: Change, key: MainKey) -> tuple[str, ...]:
        days = self._env.limits.deleted_lifetime.days
        if change is Change.REVOKE:
            return (
                "No content key of the organization can be made, wrapped or unwrapped, by any service.",
                "No other main key can be activated before this one is activated again.",
                "Activating the key again brings everything back.",
            )
        if change is Change.DISABLE_BYOK and key.origin is Origin.COMMON:
            return (
                "The common key is in charge already: no KEK is re-wrapped.",
                "No main key of the organization's own can be activated before BYOK is enabled again.",
            )
        if change is Change.DISABLE_BYOK:
            return (
                "The common key takes over, and every KEK is re-wrapped under it. Content keys work throughout.",
                "The organization's own main key rotates out, and is removed from the HSM when its lifetime ends.",
            )
        if key.state is State.PENDING:
            return (f"The key protects nothing. It is removed from the HSM in {days} days; until then undelete it.",)
        return (
            f"The key is removed from the HSM in {days} days; until then undelete it.",
            "After that, only importing the same key again, from your own backup, brings the content back.",
        )


def _obstacle(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except FailedPreconditionError as error:
        return str(error)
    return ""
