"""Sessions: one anchor that logs in and is never used otherwise, and a pool of others that share its login.

Closing the session that logged in would log every session out, and private objects are then simply not found.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hsm_adapter.constants import Rv, SessionState, User
from hsm_adapter.cryptoki import Cryptoki, CryptokiError, TokenInfo, find_token
from hsm_adapter.errors import HsmAuthenticationError, HsmCapacityError, HsmUnavailableError, TokenMissingError
from hsm_adapter.module import Module
from hsm_adapter.pin_file import PinFile
from hsm_adapter.return_values import Fault, error_for, fault_of

_PATIENCE = 5.0
"""Seconds that a caller waits for a free session."""

Era = tuple[int, int]
"""The module's generation and the number of the login: handles of another era are void."""


@dataclass(slots=True)
class Session:
    """An open session; `broken` when a call in it failed, so that it is closed and not used again."""

    handle: int
    era: Era
    broken: bool = False


class SessionPool:
    """The sessions with one token.

    Attributes:
        cryptoki: the functions of the module.
    """

    def __init__(self, module: Module, *, label: str | None, serial: str | None, pin_file: PinFile, size: int) -> None:
        self.cryptoki: Cryptoki = module.cryptoki
        self._module = module
        self._label = label
        self._serial = serial
        self._pin_file = pin_file
        self._room = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._anchor: Session | None = None
        self._token: TokenInfo | None = None
        self._logins = 0
        self._idle: list[Session] = []

    @contextmanager
    def lease(self, *, beyond_limit: bool = False) -> Iterator[Session]:
        """Have a session for a block, alone.

        Args:
            beyond_limit: take a session beyond the pool's size, for somebody who already holds one.

        Raises:
            CryptokiError: the token gives no session, or does not let us log in.
            HsmCapacityError: all sessions are in use.
            HsmAuthenticationError: the token refuses the PIN.
            HsmUnavailableError: the token is not there.
        """
        if not beyond_limit and not self._room.acquire(timeout=_PATIENCE):
            raise HsmCapacityError("All sessions with the token are in use.")
        try:
            with self._module.in_use() as generation:
                session = self._take(generation)
                try:
                    yield session
                except BaseException:
                    session.broken = True
                    raise
                finally:
                    self._give_back(session)
        finally:
            if not beyond_limit:
                self._room.release()

    def replace(self, session: Session) -> None:
        """Close a leased session in which a call failed and open another in its place; its session objects go."""
        with suppress(CryptokiError):
            self.cryptoki.close_session(session.handle)
        session.handle = self.cryptoki.open_session(self.token.slot)
        session.broken = False

    @property
    def token(self) -> TokenInfo:
        """What the token says of itself; known after the first lease."""
        if self._token is None:
            raise HsmUnavailableError("The token was not reached yet.")
        return self._token

    def _take(self, generation: int) -> Session:
        with self._lock:
            anchor = self._anchored(generation)
            while self._idle:
                session = self._idle.pop()
                if session.era == anchor.era:
                    return session
                self._close(session)
        return Session(self.cryptoki.open_session(self.token.slot), anchor.era)

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if session.broken or self._anchor is None or session.era != self._anchor.era:
                self._close(session)
            else:
                self._idle.append(session)

    def _close(self, session: Session) -> None:
        # The handle of an older generation may by now be somebody else's session.
        if session.era[0] == self._module.generation:
            with suppress(CryptokiError):
                self.cryptoki.close_session(session.handle)

    # The login.

    def _anchored(self, generation: int) -> Session:
        if self._anchor is None or self._anchor.era[0] != generation:
            self._anchor = None
            self._token = self._find_token()
            self._anchor = self._log_in(generation)
        return self._anchor

    def _find_token(self) -> TokenInfo:
        tokens = find_token(self.cryptoki, label=self._label, serial=self._serial)
        if len(tokens) != 1:
            wanted = f"label {self._label!r}" if self._label is not None else f"serial number {self._serial!r}"
            found = "no token has it" if not tokens else f"{len(tokens)} tokens have it; name one by its serial number"
            raise TokenMissingError(f"The token of {wanted} cannot be used: {found}.")
        return tokens[0]

    def _log_in(self, generation: int) -> Session:
        handle = self.cryptoki.open_session(self.token.slot)
        try:
            with self._pin_file.pin() as pin:
                try:
                    self.cryptoki.login(handle, User.USER, pin)
                except CryptokiError as error:
                    if error.rv != Rv.USER_ALREADY_LOGGED_IN:
                        if fault_of(error) is Fault.AUTH:
                            raise HsmAuthenticationError(str(error)) from error
                        raise
        except BaseException:
            with suppress(CryptokiError):
                self.cryptoki.close_session(handle)
            raise
        self._logins += 1
        return Session(handle, (generation, self._logins))

    def is_logged_in(self, session: Session) -> bool:
        """Return whether the user is logged in, by the token's own word."""
        return self.cryptoki.session_state(session.handle) == SessionState.RW_USER_FUNCTIONS

    def is_current(self, era: Era) -> bool:
        """Return whether sessions of this era are still those of the present login."""
        with self._lock:
            return self._anchor is not None and self._anchor.era == era

    def log_in_again(self, seen: Era) -> None:
        """Log in anew, unless that was done since era `seen`; all threads share the new login.

        Raises:
            HsmAuthenticationError: the token refuses the PIN.
            HsmUnavailableError: the token does not answer.
        """
        with self._module.in_use() as generation, self._lock:
            anchor = self._anchor
            if anchor is None or anchor.era != seen:
                return
            self._anchor = None
            # Its session may still hold a login that the token has forgotten half: end it before the new one.
            with suppress(CryptokiError):
                self.cryptoki.close_session(anchor.handle)
            try:
                self._anchored(generation)
            except CryptokiError as error:
                raise error_for(fault_of(error), error) from error

    def close(self) -> None:
        """Close all idle sessions and, last, the anchor."""
        with self._module.in_use(), self._lock:
            for session in self._idle:
                self._close(session)
            self._idle.clear()
            if self._anchor is not None:
                self._close(self._anchor)
            self._anchor = None
