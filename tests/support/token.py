"""SoftHSM tokens of the tests' own: each with its own copy of the library, so that no test shares its state."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hsm_adapter import HsmSettings

ROOT = Path(__file__).resolve().parents[2]


def softhsm_module() -> Path:
    """The SoftHSM2 that scripts/test has chosen."""
    chosen = os.environ.get("KEYSTEAD_TEST_MODULE")
    if chosen is None:
        command = [ROOT / "scripts/softhsm/module"]
        chosen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return ROOT / chosen


def make_token(folder: Path, module: Path | None = None) -> HsmSettings:
    """Make an empty token in a folder; SOFTHSM2_CONF must name its softhsm2.conf when it is used."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libsofthsm2.so"
    shutil.copy(module or softhsm_module(), library)
    subprocess.run([sys.executable, ROOT / "scripts/softhsm/init_token.py", library, folder], check=True)
    return HsmSettings(library, "keystead", None, folder / "pin", profile="softhsm", sessions=8)
