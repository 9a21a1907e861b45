"""Changes that are killed in the middle: how each is prepared, and how it is made.

As a program, it is told of changes, a line of JSON each: [FOLDER, SCENARIO, STEP]. It makes each in a child of its own,
in a prepared folder; the child kills itself with SIGKILL after the given step (0: never). It answers with a line each:
[STATUS, STEPS], how the child ended, and the names of the steps if it has survived. The children are forked from a
process that has loaded all that they need, and opened nothing: to load it takes longer than a change.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from server.domain.errors import EncryptedKeyRejectedError
from server.domain.ids import KekName, MainKeyName, OrganizationId, WrappingKeyName
from server.domain.main_keys import State
from server.domain.roles import Caller, Grant, Role
from server.use_cases import Import, Upload
from tests.support.crypto import encrypt, fingerprint
from tests.support.steps import Steps, kill_me
from tests.support.world import World, opened

ORG = OrganizationId("acme")
OPERATOR = Caller("spiffe://test/operator", (Grant(Role.OPERATOR, frozenset()),))
FIRST, SECOND = b"\1" * 32, b"\2" * 32
"""The values of main keys: fixed, so that every process can bring the same."""
MONTH = timedelta(days=31)


def upload(world: World, value: bytes) -> Upload:
    wrapping_key = world.do.get_wrapping_key(world.admin(ORG), ORG, None)
    return Upload(ORG, WrappingKeyName(ORG, wrapping_key.id), encrypt(wrapping_key.public_key, value))


def find(world: World, value: bytes):
    """The main key of this value, or None."""
    keys = world.keys(ORG).values()
    return next((key for key in keys if key.fingerprint == fingerprint(value)), None)


def name_of(world: World, value: bytes) -> MainKeyName:
    return MainKeyName(ORG, find(world, value).id)


def state_of(world: World, value: bytes) -> State | None:
    key = find(world, value)
    return None if key is None else key.state


# What is there before.


def nothing(world: World, folder: Path) -> None:
    """Not even an organisation."""


def organization(world: World, folder: Path) -> None:
    """An organisation on the common key, with five KEKs and a content key."""
    world.do.create_organization(OPERATOR, ORG, "")
    keks = [world.new_kek(ORG) for _ in range(5)]
    user, kek = world.user(ORG), KekName(ORG, keks[0].id)
    (made,) = world.do.generate_content_keys(user, kek, count=1, size=32, context={})
    (folder / "content_key").write_bytes(made.plaintext + made.wrapped)


def wrapping_key(world: World, folder: Path) -> None:
    organization(world, folder)
    world.do.get_wrapping_key(world.admin(ORG), ORG, None)


def pending(world: World, folder: Path) -> None:
    organization(world, folder)
    world.do.import_main_key(world.admin(ORG), Import(upload(world, FIRST), activate_now=False))


def rotating(world: World, folder: Path) -> None:
    pending(world, folder)
    world.do.main_key_moves.activate(world.admin(ORG), name_of(world, FIRST))


def revoked(world: World, folder: Path) -> None:
    rotating(world, folder)
    world.steward()
    world.do.main_key_moves.revoke(world.admin(ORG), name_of(world, FIRST))


def deleted(world: World, folder: Path) -> None:
    revoked(world, folder)
    world.do.main_key_moves.delete(world.admin(ORG), name_of(world, FIRST))


def removed(world: World, folder: Path) -> None:
    deleted(world, folder)
    world.pass_time(MONTH)
    world.steward()
    world.do.get_wrapping_key(world.admin(ORG), ORG, None)


def retired(world: World, folder: Path) -> None:
    rotating(world, folder)
    world.steward()
    world.do.import_main_key(world.admin(ORG), Import(upload(world, SECOND), activate_now=True))
    world.steward()


# What is done; done again after a crash, each ends where it would have ended without.


def first_start(world: World) -> None:
    world.restart()


def create_wrapping_key(world: World) -> None:
    world.do.get_wrapping_key(world.admin(ORG), ORG, None)


def import_now(world: World) -> None:
    if find(world, FIRST) is None:
        world.do.import_main_key(world.admin(ORG), Import(upload(world, FIRST), activate_now=True))


def import_later(world: World) -> None:
    if find(world, FIRST) is None:
        world.do.import_main_key(world.admin(ORG), Import(upload(world, FIRST), activate_now=False))


def reject(world: World) -> None:
    try:
        world.do.import_main_key(world.admin(ORG), Import(upload(world, FIRST[:16]), activate_now=True))
    except EncryptedKeyRejectedError:
        return


def verify_copy(world: World) -> None:
    world.do.verify_main_key_copy(world.admin(ORG), name_of(world, FIRST), upload(world, FIRST))


def activate(world: World) -> None:
    if state_of(world, FIRST) is State.PENDING:
        world.do.main_key_moves.activate(world.admin(ORG), name_of(world, FIRST))


def rotate(world: World) -> None:
    while world.chores["rotate"]():
        pass


def delete(world: World) -> None:
    if state_of(world, FIRST) is State.REVOKED:
        world.do.main_key_moves.delete(world.admin(ORG), name_of(world, FIRST))


def purge(world: World) -> None:
    world.pass_time(MONTH)
    world.restart()
    world.chores["purge_deleted"]()


def remove_retired(world: World) -> None:
    world.pass_time(MONTH)
    world.restart()
    world.chores["remove_retired"]()


def recover(world: World) -> None:
    if state_of(world, FIRST) is State.REMOVED:
        world.do.import_main_key(world.admin(ORG), Import(upload(world, FIRST), activate_now=True))


def create_kek(world: World) -> None:
    world.new_kek(ORG)


def disable_byok(world: World) -> None:
    world.do.byok.disable(world.admin(ORG), ORG)


BROUGHT = ("commit", "examine_main_key", "unwrap_main_key", "commit", "destroy", "commit")

SCENARIOS = {
    # name: (what is there before, what is done, the steps that it takes)
    "first_start": (
        nothing,
        first_start,
        ("commit", "generate_main_key", "commit", "commit", "create_audit_key", "commit"),
    ),
    "create_wrapping_key": (organization, create_wrapping_key, ("commit", "create_wrapping_key", "commit")),
    "import_now": (wrapping_key, import_now, BROUGHT),
    "import_later": (wrapping_key, import_later, BROUGHT),
    "reject": (wrapping_key, reject, ("commit", "commit", "destroy", "commit", "commit")),
    "verify_copy": (
        rotating,
        verify_copy,
        ("commit", "create_wrapping_key", "commit", "commit", "examine_main_key", "commit", "destroy", "commit"),
    ),
    "activate": (pending, activate, ("commit",)),
    "rotate": (rotating, rotate, ("rewrap_keks", "batch", "rewrap_keks", "batch", "batch", "commit")),
    "delete": (revoked, delete, ("commit",)),
    "purge": (deleted, purge, ("commit", "destroy", "commit")),
    "remove_retired": (retired, remove_retired, ("commit", "destroy", "commit")),
    "recover": (removed, recover, BROUGHT),
    "create_kek": (organization, create_kek, ("create_kek", "commit")),
    "disable_byok": (rotating, disable_byok, ("commit",)),
}


def make(folder: Path, scenario: str, step: int) -> list[str]:
    """Make a change, and return its steps."""
    _, do, _ = SCENARIOS[scenario]
    first = scenario == "first_start"
    steps = Steps((step or None) if first else None, kill_me)
    with opened(folder, steps=steps) as world:
        if not first:
            steps.begin(step or None)
            do(world)
        return steps.names


def make_in_child(folder: Path, scenario: str, step: int) -> tuple[int, list[str]]:
    """Make a change in a new process; return its exit status and its steps."""
    ours, childs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(childs, " ".join(make(folder, scenario, step)).encode())
        os._exit(0)
    os.close(childs)
    with os.fdopen(ours) as told:
        names = told.read().split()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), names


def main() -> None:
    for line in sys.stdin:
        folder, scenario, step = json.loads(line)
        sys.stdout.write(json.dumps(make_in_child(Path(folder), scenario, step)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
