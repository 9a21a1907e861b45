"""The security officer of a test's token, in a process of his own: a process has one login with a token.

python -m tests.support.officer FOLDER OBJECT_ID
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hsm_adapter
from hsm_adapter import HsmSettings, PinFile, TrustMode
from server.domain.ids import MainKeyName, OrganizationId
from server.domain.main_keys import MainKey
from tests.support.token import ROOT
from tests.support.world import World, opened


@dataclass(frozen=True)
class OfficersWorld:
    """A world in the trust mode `trusted`, and the officer of its token."""

    world: World
    token: Path

    def mark(self, object_id: str) -> None:
        """Mark a main key of the token as trusted."""
        command = [sys.executable, "-m", "tests.support.officer", str(self.token), object_id]
        subprocess.run(command, cwd=ROOT, check=True)

    def activate(self, org: OrganizationId, key: MainKey) -> None:
        self.world.do.main_key_moves.activate(self.world.admin(org), MainKeyName(org, key.id))

    def bring(self, org: OrganizationId, value: bytes) -> MainKey:
        """Bring a main key, have it marked, and put it in charge."""
        key = self.world.bring(org, value, activate_now=False)
        self.mark(key.object_id)
        self.activate(org, key)
        self.world.steward()
        return self.world.in_charge(org)


@contextmanager
def trusted_world(folder: Path) -> Iterator[OfficersWorld]:
    """Have a world in the trust mode `trusted`, whose common key is marked, for a block."""
    with opened(folder, trust_mode=TrustMode.TRUSTED) as world:
        with world.storage.read() as tx:
            common, _ = tx.main_keys.common()
        officers = OfficersWorld(world, folder / "token")
        officers.mark(common)
        yield officers


def _main(folder: Path, object_id: bytes) -> None:
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    settings = HsmSettings(
        folder / "libsofthsm2.so", "keystead", None, folder / "pin", profile="softhsm", trust_mode=TrustMode.TRUSTED
    )
    assert not hsm_adapter.examine(settings, object_id).is_marked
    hsm_adapter.mark(settings, object_id, PinFile(folder / "so_pin").pin)
    assert hsm_adapter.examine(settings, object_id).is_marked


if __name__ == "__main__":
    _main(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
