"""A process among several on one token: its threads make, look for and destroy main keys, its own and others'.

    python -m tests.support.token_crowd FOLDER SECONDS

A main key is announced to the others by a file of its id in FOLDER/announced, from when it is made to just before it is
destroyed. Prints what was not as it has to be, a line each, and then how many keys were made.
"""

import os
import secrets
import sys
import threading
import time
from pathlib import Path

from hsm_adapter import HsmError, HsmSettings, HsmToken, Role

_KEPT = 3
"""Main keys that each thread has in the token at a time."""


class Crowd:
    """The threads of this process."""

    def __init__(self, token: HsmToken, announced: Path, until: float) -> None:
        self._token, self._announced, self._until = token, announced, until
        self.faults: list[str] = []
        self.made = 0

    def make(self) -> None:
        own: list[bytes] = []
        while time.monotonic() < self._until:
            try:
                own.append(secrets.token_bytes(16))
                self._token.generate_main_key(own[-1])
                self.made += 1
                self._look_for(own[-1])
                (self._announced / own[-1].hex()).touch()
                if len(own) > _KEPT:
                    (self._announced / own[0].hex()).unlink()
                    self._token.destroy(Role.MAIN_KEY, own.pop(0))
            except HsmError as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                own.pop()

    def look(self) -> None:
        while time.monotonic() < self._until:
            for file in list(self._announced.iterdir()):
                self._look_for(bytes.fromhex(file.name), file)

    def _look_for(self, key: bytes, announcement: Path | None = None) -> None:
        with self._token._pool.lease() as session:
            handles = self._token._objects.look(session, Role.MAIN_KEY, key)
        if len(handles) != 1 and (announcement is None or announcement.exists()):
            self.faults.append(f"a main key is there {len(handles)} times")


def main(folder: Path, seconds: float) -> None:
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    settings = HsmSettings(folder / "libsofthsm2.so", "keystead", None, folder / "pin", profile="softhsm")
    with HsmToken.open(settings) as token:
        crowd = Crowd(token, folder / "announced", time.monotonic() + seconds)
        threads = [threading.Thread(target=work) for work in (crowd.make, crowd.make, crowd.look)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.stdout.write("\n".join([*crowd.faults, str(crowd.made)]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
