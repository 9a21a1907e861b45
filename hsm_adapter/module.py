"""The loaded module: initialised once for all threads, and initialised anew when the token was lost.

C_Finalize and C_Initialize start all handle numbers again: an old handle may then name another tenant's key. So the
restart waits until nobody uses the module, and raises the generation, by which everything older is refused.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.errors import HsmUnavailableError, ModuleMissingError
from hsm_adapter.library import CryptokiError
from hsm_adapter.return_values import error_for, fault_of

_PATIENCE = 30.0
"""Seconds that a restart waits for calls in flight, and a call for a restart."""
_REST = 5.0
"""Seconds between two restarts: a token that is gone must not keep the process busy."""

_loaded: dict[Path, "Module"] = {}
_loading = threading.Lock()


class Module:
    """One PKCS#11 library in this process."""

    def __init__(self, path: Path, init_args: str | None) -> None:
        try:
            self.cryptoki = Cryptoki(path)
        except OSError as error:
            raise ModuleMissingError(f"The PKCS#11 module cannot be loaded: {error}") from error
        self.generation = 1
        self._init_args = init_args
        self._pid = os.getpid()
        self._users = 0
        self._restarting = False
        self._last_restart = -_REST
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._initialize()

    @classmethod
    def load(cls, path: Path, init_args: str | None) -> "Module":
        """Return the module at this path, loaded at most once in a process.

        Raises:
            ModuleMissingError: it cannot be loaded.
            HsmUnavailableError: it cannot be initialised.
        """
        with _loading:
            module = _loaded.get(path)
            if module is None or module._pid != os.getpid():  # noqa: SLF001 - our own class
                module = _loaded[path] = cls(path, init_args)
            return module

    def _initialize(self) -> None:
        try:
            self.cryptoki.initialize(self._init_args)
        except CryptokiError as error:
            raise error_for(fault_of(error), error) from error

    @contextmanager
    def in_use(self) -> Iterator[int]:
        """Keep the module from being restarted for a block, which gets the generation; raises as `enter`."""
        generation = self.enter()
        try:
            yield generation
        finally:
            self.leave()

    def enter(self) -> int:
        """Keep the module from being restarted until `leave`, and return the generation.

        Raises:
            HsmUnavailableError: this is a forked child, or a restart takes too long.
        """
        if os.getpid() != self._pid:
            # The parent's sessions would go on working here, on the same token, unnoticed.
            raise HsmUnavailableError("A forked process must open the token itself.")
        with self._lock:
            if self._restarting:
                self._await_restart()
            self._users += 1
            return self.generation

    def leave(self) -> None:
        """Let the module be restarted, as far as this user is concerned."""
        with self._lock:
            self._users -= 1
            if self._restarting:
                self._changed.notify_all()

    def _await_restart(self) -> None:
        """Return when no restart is under way; for who has the lock."""
        if not self._changed.wait_for(lambda: not self._restarting, _PATIENCE):
            raise HsmUnavailableError("The PKCS#11 module is being initialised anew.")

    def restart(self, seen: int) -> bool:
        """Initialise anew, unless that was done since generation `seen`. The caller must not be using the module.

        Returns:
            Whether there is a newer generation than `seen`: not if the last restart was a moment ago.

        Raises:
            HsmUnavailableError: calls in flight do not end, or the module does not initialise.
        """
        with self._lock:
            self._await_restart()
            if self.generation != seen:
                return True
            if time.monotonic() - self._last_restart < _REST:
                return False
            self._restarting = True
            try:
                if not self._changed.wait_for(lambda: self._users == 0, _PATIENCE):
                    raise HsmUnavailableError("Calls to the token do not end, so it cannot be initialised anew.")
                self._last_restart = time.monotonic()
                self.generation += 1
                with suppress(CryptokiError):  # It may be what the module has lost already.
                    self.cryptoki.finalize()
                self._initialize()
            finally:
                self._restarting = False
                self._changed.notify_all()
            return True
