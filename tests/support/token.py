"""SoftHSM tokens of the tests' own: each with its own copy of the library, so that no test shares its state."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
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
    module = module or softhsm_module()
    empty = _empty_token(module)
    shutil.copytree(empty, folder, dirs_exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(configuration.read_text().replace(str(empty), str(folder.resolve())))
    library = folder / "libsofthsm2.so"
    shutil.copy(module, library)
    return HsmSettings(library, "keystead", None, folder / "pin", profile="softhsm", sessions=8)


@cache
def _empty_token(module: Path) -> Path:
    """A token that was just made, of which all others are copies: there are hundreds, and to make one takes 0.1 s."""
    folder = Path(tempfile.mkdtemp(prefix="keystead-token-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, ROOT / "scripts/softhsm/init_token.py", module, folder], check=True)
    return folder
