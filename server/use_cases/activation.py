"""Put another main key in charge: what import and activate have in common."""

from dataclasses import replace

from server.domain.audit import AuditAction, AuditEvent
from server.domain.main_keys import Action, MainKey, State, transition
from server.domain.ports import NewId, Transaction
from server.domain.rotations import Rotation, RotationState
from server.use_cases.authority import Authority


def put_in_charge(
    tx: Transaction, authority: Authority, activated: MainKey, *, is_new: bool, actor: str, new_id: NewId
) -> None:
    """Keep `activated`, which has just become ACTIVE, as the main key in charge, and begin the rotation to it.

    The key that was ACTIVE goes to ROTATING, the epoch is raised, and what still rotates is aimed at the new key.

    Args:
        tx: the transaction that locked the organisation.
        authority: the organisation as it was.
        activated: the key in its new state; its `state_time` is the moment of the change.
        is_new: whether `activated` has no row yet.
        actor: who did it.
        new_id: gives the rotation's id.
    """
    now = activated.state_time
    organization, old = authority.organization, authority.main_key
    replaced = transition(old, Action.REPLACE, now=now, in_charge=True)
    # The old key first: the database allows only one ACTIVE key at any moment.
    tx.main_keys.update(replaced)
    if is_new:
        tx.main_keys.add(activated)
    else:
        tx.main_keys.update(activated)
    tx.organizations.update(replace(organization, main_key=activated.id, epoch=organization.epoch + 1))
    for rotation in tx.rotations.running(organization.id):
        tx.rotations.update(replace(rotation, to_main_key=activated.id))
    counts = tx.keks.count_by_main_key([organization.id])
    tx.rotations.add(
        Rotation(
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
        )
    )
    record_move(tx, replaced, State.ACTIVE, actor)
    record_move(tx, activated, None if is_new else State.PENDING, actor)


def record_move(tx: Transaction, key: MainKey, from_state: State | None, actor: str) -> None:
    """Write down a main key's change of state, in the transaction that makes it."""
    tx.audit.append(
        AuditEvent(key.organization, key.state_time, actor, AuditAction.MAIN_KEY_MOVED, key.id, from_state, key.state)
    )
