"""Pause a rotation, and resume it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import ResourceNotFoundError, RotationFinishedError
from server.domain.etags import etag_of_rotation
from server.domain.ids import RotationName
from server.domain.roles import Caller, Operation, authorize
from server.domain.rotations import Rotation, RotationState
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms
from server.use_cases.views import RotationView, view_rotation


class RotationControl:
    """Whether a rotation goes on.

    Each method may raise:
        ForbiddenError: the caller does not administer the organisation.
        ResourceNotFoundError: there is no such rotation.
        RotationFinishedError: it has ended.
        StaleEtagError: it was changed since the caller looked.
        RequestIdReusedError: the request's id was used for another one.
        AnsweredBefore: this very request was carried out before.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env

    def pause(self, caller: Caller, name: RotationName, terms: Terms = FREE) -> RotationView:
        """Return the rotation, PAUSED; what is being re-wrapped at this moment is still finished."""

        def change(rotation: Rotation, _now: datetime) -> Rotation:
            return replace(rotation, state=RotationState.PAUSED)

        return self._changed(caller, Operation.PAUSE_ROTATION, name, terms, change)

    def resume(self, caller: Caller, name: RotationName, terms: Terms = FREE) -> RotationView:
        """Return the rotation, RUNNING."""

        def change(rotation: Rotation, now: datetime) -> Rotation:
            if rotation.state is RotationState.RUNNING:
                return rotation
            return replace(rotation, state=RotationState.RUNNING, resume_time=now, resume_done=rotation.done)

        return self._changed(caller, Operation.RESUME_ROTATION, name, terms, change)

    def _changed(
        self,
        caller: Caller,
        operation: Operation,
        name: RotationName,
        terms: Terms,
        change: Callable[[Rotation, datetime], Rotation],
    ) -> RotationView:
        authorize(caller, operation, name.organization)
        with self._env.storage.write() as tx:
            lock_authority(tx, name.organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            rotation = tx.rotations.find(name.organization, name.id)
            if rotation is None:
                raise ResourceNotFoundError(str(name))
            terms.demand_seen(etag_of_rotation(rotation), {"state": rotation.state})
            if rotation.is_finished:
                raise RotationFinishedError(rotation.state)
            changed = change(rotation, now)
            if changed != rotation:
                tx.rotations.update(changed)
                paused = changed.state is RotationState.PAUSED
                action = AuditAction.ROTATION_PAUSED if paused else AuditAction.ROTATION_RESUMED
                states = rotation.state, changed.state
                tx.audit.append(AuditEvent(name.organization, now, caller.identity, action, name.id, *states))
            view = view_rotation(tx, changed)
            terms.keep(tx, caller, view, now)
        return view
