"""What is done about a failed call, by its class of fault: repair, and repeat a bounded number of times.

Each kind of repair is tried at most once for one request. A loss of the token climbs a ladder: log in anew, then
initialise the module anew.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from hsm_adapter.constants import Mechanism
from hsm_adapter.errors import HsmAuthenticationError, HsmError, ObjectMissingError, TokenMissingError
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KW
from hsm_adapter.module import Module
from hsm_adapter.objects import Objects
from hsm_adapter.profiles import Profile
from hsm_adapter.return_values import Fault, error_for, fault_of
from hsm_adapter.sessions import Era, Session, SessionPool
from hsm_adapter.templates import generated_main_key, kek_birth, kek_rewrap

T = TypeVar("T")

_SECOND_LOOK = 30.0
"""Seconds between two restarts of the module because an object was missed."""

_LADDERS: dict[Fault, tuple[str, ...]] = {
    Fault.SESSION: ("session",),
    Fault.HANDLE: ("handles",),
    Fault.LOGIN: ("login", "restart"),
    Fault.TOKEN: ("login", "restart"),
}


class Recovery:
    """Runs work in a session, and repairs what can be repaired."""

    def __init__(self, module: Module, pool: SessionPool, objects: Objects, profile: Profile) -> None:
        self._module = module
        self._pool = pool
        self._objects = objects
        self._profile = profile
        self._lock = threading.Lock()
        self._looked_again = -_SECOND_LOOK

    def run(self, work: Callable[[Session], T], *, wanted: bytes | None = None) -> T:
        """Return what `work` returns; it may be begun again from its start.

        Args:
            work: is given a session.
            wanted: the KEK that `work` uses first, by what it is bound to.

        Raises:
            HsmError: it cannot be done.
        """
        used: set[str] = set()
        while True:
            era: Era | None = None
            try:
                with self._pool.lease(wanted=wanted) as session:
                    era = session.era
                    return work(session)
            except CryptokiError as error:
                fault = self._diagnosed(error)
                if not self._repaired(fault, era, used):
                    raise error_for(fault, error) from error
            except TokenMissingError:
                if not self._repaired(Fault.TOKEN, None, used):
                    raise
            except ObjectMissingError:
                if era is None or not self._looks_again(era, used):
                    raise

    def _repaired(self, fault: Fault, era: Era | None, used: set[str]) -> bool:
        for step in _LADDERS.get(fault, ()):
            if step not in used:
                used.add(step)
                return self._repair(step, era)
        return False

    def _repair(self, step: str, era: Era | None) -> bool:
        if step == "handles":
            self._objects.forget()
        elif step == "restart" or (step == "login" and era is None):
            return self._module.restart(self._module.generation if era is None else era[0])
        elif step == "login" and era is not None:
            try:
                self._pool.log_in_again(era)
            except HsmAuthenticationError:
                raise
            except HsmError:
                # The next rung: this very login may be what needs the module initialised anew.
                return self._module.restart(era[0])
        return True  # A broken session has been replaced by the end of its lease.

    def _looks_again(self, era: Era, used: set[str]) -> bool:
        if "era" not in used and not self._pool.is_current(era):
            # It was looked for while the login was lost, and another thread has logged in anew meanwhile.
            used.add("era")
            return True
        if "look" not in used and self._may_look_again():
            used.add("look")
            return self._module.restart(era[0])
        return False

    def _may_look_again(self) -> bool:
        with self._lock:
            if time.monotonic() - self._looked_again < _SECOND_LOOK:
                return False
            self._looked_again = time.monotonic()
            return True

    # Whose fault is it?

    def _diagnosed(self, error: CryptokiError) -> Fault:
        fault = fault_of(error)
        return self._canary() if fault is Fault.AMBIGUOUS else fault

    def _canary(self) -> Fault:
        """Say whose fault an ambiguous answer is: if the token still unwraps a good key, it was the input's."""
        try:
            with self._pool.lease(beyond_limit=True) as session:
                self.sing(session)
        except CryptokiError as error:
            fault = fault_of(error)
            return Fault.TOKEN if fault is Fault.AMBIGUOUS else fault
        return Fault.CALLER

    def sing(self, session: Session) -> None:
        """Wrap and unwrap a key of the moment.

        Raises:
            CryptokiError: the token is not well.
        """
        cryptoki = self._pool.cryptoki
        wrapping_key = cryptoki.generate_key(
            session.handle, Mechanism.AES_KEY_GEN, generated_main_key(b"canary", token=False)
        )
        key = cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, kek_birth())
        wrapped = cryptoki.wrap_key(session.handle, AES_KW, wrapping_key, key)
        again = cryptoki.unwrap_key(session.handle, AES_KW, wrapping_key, wrapped, kek_rewrap(self._profile))
        for handle in (again, key, wrapping_key):
            cryptoki.destroy_object(session.handle, handle)

    def verdict(self, error: CryptokiError) -> HsmError:
        """Return what a failed call means: RejectedInputError only if the token is well."""
        return error_for(self._diagnosed(error), error)
