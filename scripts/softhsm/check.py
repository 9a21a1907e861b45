"""Say whether a SoftHSM2 module can do the job: probe it with a token of the moment. Exit status 0 if it can.

check.py MODULE
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from hsm_adapter import HsmError, HsmSettings, probe  # noqa: E402 - found by the line above


def main(module: Path) -> bool:
    """Print the report, and return whether it is good."""
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: SoftHSM reads its tokens once, when it is initialised.
        command = [sys.executable, str(HERE / "init_token.py"), str(module), folder]
        if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - our own script
            return False
        os.environ["SOFTHSM2_CONF"] = f"{folder}/softhsm2.conf"
        settings = HsmSettings(module, "keystead", None, Path(folder) / "pin", profile="softhsm")
        try:
            report = probe(settings)
        except HsmError as error:
            print(error)
            return False
    for check in report.checks:
        print("FAIL" if check.fault else "ok  ", check.name, check.fault or "")
    return report.ok


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
