"""Make the development token: a SoftHSM configuration, a token and its PIN, in a folder of its own.

    init_token.py MODULE FOLDER

The PIN is 24 random characters in FOLDER/pin, mode 0600; the security officer's likewise in FOLDER/so_pin. A token that
is there already is left as it is. No PIN passes through an argument or the environment.
"""

import os
import secrets
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hsm_adapter.constants import User
from hsm_adapter.cryptoki import Cryptoki, find_token

LABEL = "keystead"


def main(module: Path, folder: Path) -> None:
    """Make the token unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    tokens, unfinished = folder / "tokens", folder / "tokens.new"
    _configure(folder / "softhsm2.conf", tokens)
    if tokens.exists():
        return
    # Whatever ends this in the middle, the next run begins anew: the last step alone makes the token.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    configuration = folder / "softhsm2.new.conf"
    _configure(configuration, unfinished)
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    _init(module, _secret_file(folder / "pin"), _secret_file(folder / "so_pin"))
    configuration.unlink()
    unfinished.rename(tokens)


def _configure(file: Path, tokens: Path) -> None:
    file.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    )


def _init(module: Path, pin: bytes, so_pin: bytes) -> None:
    cryptoki = Cryptoki(module)
    cryptoki.initialize(None)
    try:
        slot = cryptoki.slots()[-1]  # SoftHSM keeps an empty slot at the end.
        cryptoki.init_token(slot, so_pin, LABEL)
        (token,) = find_token(cryptoki, label=LABEL, serial=None)
        session = cryptoki.open_session(token.slot)
        cryptoki.login(session, User.SO, bytearray(so_pin))
        cryptoki.init_pin(session, pin)
        cryptoki.close_session(session)
    finally:
        cryptoki.finalize()


def _secret_file(path: Path) -> bytes:
    secret = secrets.token_urlsafe(18).encode()
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(secret + b"\n")
    return secret


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
