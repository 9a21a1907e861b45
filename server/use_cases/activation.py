"""Put another main key in charge: what import, activate and disabling BYOK have in common."""

from dataclasses import replace
from datetime import datetime

from server.domain.audit import AuditAction, AuditEvent
from server.domain.main_keys import Action, MainKey, State
from server.domain.moves import transition
from server.domain.ports import NewId, Transaction
from server.domain.rotations import Rotation, RotationState
from server.use_cases.authority import Authority, demand_recorded, situation


def put_in_charge(
    tx: Transaction, authority: Authority, activated: MainKey, *, before: MainKey | None, actor: str, new_id: NewId
) -> Authority:
    """Keep `activated`, which has just become ACTIVE, as the main key in charge, and begin the rotation to it.

    The key that was ACTIVE goes to ROTATING, the epoch is raised, and what still rotates is aimed at the new key.

    Args:
        tx: the transaction that locked the organisation.
        authority: the organisation as it was.
        activated: the key in its new state; its `state_time` is the moment of the change.
        before: `activated` as it is kept now; None if it has no row yet.
        actor: who did it.
        new_id: gives the rotation's id.

    Returns:
        The organisation as it is now.

    Raises:
        StateDamagedError: a key does not stand as the audit log tells.
    """
    now = activated.state_time
    organization, old = authority.organization, authority.main_key
    replaced = transition(old, Action.REPLACE, situation(tx, authority), now=now)
    # The old key first: the database allows only one ACTIVE key at any moment.
    tx.main_keys.update(replaced)
    if before is None:
        tx.main_keys.add(activated)
    else:
        tx.main_keys.update(activated)
    organization = replace(organization, main_key=activated.id, epoch=organization.epoch + 1)
    tx.organizations.update(organization)
    for rotation in tx.rotations.unfinished(organization.id):
        if rotation.from_main_key == activated.id:
            # The key comes back before all KEKs have left it: those that are still under it stay.
            end_rotation(tx, rotation, RotationState.CANCELLED, now, actor)
        else:
            tx.rotations.update(replace(rotation, to_main_key=activated.id))
    counts = tx.keks.count_by_main_key([organization.id])
    started = Rotation(
        organization=organization.id,
        id=new_id(),
        from_main_key=old.id,
        to_main_key=activated.id,
        state=RotationState.RUNNING,
        total=counts.get((organization.id, old.id), 0),
        done=0,
        failed=0,
        start_time=now,
        end_time=None,
        resume_time=now,
        resume_done=0,
    )
    tx.rotations.add(started)
    record_move(tx, old, replaced, actor)
    record_move(tx, before, activated, actor)
    tx.audit.append(
        AuditEvent(
            organization.id,
            now,
            actor,
            AuditAction.ROTATION_STARTED,
            started.id,
            to_state=started.state,
            main_key=old.id,
            kek_count=started.total,
        )
    )
    return Authority(organization, activated)


def move_in_charge(tx: Transaction, authority: Authority, moved: MainKey, actor: str) -> Authority:
    """Keep another state of the main key in charge, and raise the epoch; return the organisation as it is now.

    Raises:
        StateDamagedError: the key does not stand as the audit log tells.
    """
    organization = replace(authority.organization, epoch=authority.organization.epoch + 1)
    tx.main_keys.update(moved)
    tx.organizations.update(organization)
    record_move(tx, authority.main_key, moved, actor)
    return Authority(organization, moved)


def record_move(tx: Transaction, before: MainKey | None, key: MainKey, actor: str) -> None:
    """Write down a main key's change of state, with its KEKs, in the transaction that makes it.

    Raises:
        StateDamagedError: the audit log does not tell that the key stood as it did before.
    """
    if before is not None:
        demand_recorded(tx, before)
    counts = tx.keks.count_by_main_key([key.organization])
    tx.audit.append(
        AuditEvent(
            key.organization,
            key.state_time,
            actor,
            AuditAction.MAIN_KEY_MOVED,
            key.id,
            None if before is None else before.state,
            key.state,
            kek_count=counts.get((key.organization, key.id), 0),
            due_time=key.due_time,
            note=(key.state is State.REVOKED and key.revoke_reason) or None,
        )
    )


def end_rotation(tx: Transaction, rotation: Rotation, state: RotationState, now: datetime, actor: str) -> None:
    """Keep a rotation as ended, and write that down."""
    tx.rotations.update(replace(rotation, state=state, failed=0, end_time=now))
    tx.audit.append(
        AuditEvent(
            rotation.organization,
            now,
            actor,
            AuditAction.ROTATION_ENDED,
            rotation.id,
            rotation.state,
            state,
            main_key=rotation.from_main_key,
            kek_count=rotation.done,
        )
    )
