"""Sessions: one anchor that logs in and is never used otherwise, and a pool of others that share its login.

Closing the session that logged in would log every session out, and private objects are then simply not found.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from hsm_adapter import watchdog
from hsm_adapter.constants import Rv, SessionState, User
from hsm_adapter.cryptoki import Cryptoki, find_token
from hsm_adapter.errors import HsmAuthenticationError, HsmCapacityError, HsmUnavailableError, TokenMissingError
from hsm_adapter.kek_cache import DEFAULT_KEK_LIMITS, KekCacheLimits, KekCounter, LoadedKek, LoadedKeks
from hsm_adapter.library import CryptokiError
from hsm_adapter.module import Module
from hsm_adapter.pin_file import PinFile
from hsm_adapter.return_values import Fault, error_for, fault_of
from hsm_adapter.token_info import TokenInfo

_PATIENCE = 5.0
"""Seconds that a caller waits for a free session."""

_NOBODY = ""
"""A tenant that has no KEKs: those whose time is over go with it."""

Era = tuple[int, int]
"""The module's generation and the number of the login: handles of another era are void."""


@dataclass(slots=True, eq=False)
class Session:
    """An open session.

    Attributes:
        handle: the session.
        era: when it was opened.
        broken: a call in it failed, so that it is closed and not used again.
        keeper: the session to which the loaded KEKs belong, once there is one.
        keks: the KEKs that stay loaded.
        to_unload: tenants whose KEKs are to go before the next lease; guarded by the pool.
    """

    handle: int
    era: Era
    broken: bool = False
    keeper: "Session | None" = None
    keks: LoadedKeks = field(default_factory=LoadedKeks)
    to_unload: frozenset[str] = frozenset()


class SessionPool:
    """The sessions with one token.

    Attributes:
        cryptoki: the functions of the module.
        kek_limits: how much of KEKs stays loaded.
        counter: counts the KEKs that are loaded.
    """

    def __init__(
        self,
        module: Module,
        *,
        label: str | None,
        serial: str | None,
        pin_file: PinFile,
        size: int,
        kek_limits: KekCacheLimits = DEFAULT_KEK_LIMITS,
    ) -> None:
        self.cryptoki: Cryptoki = module.cryptoki
        self._module = module
        self._label = label
        self._serial = serial
        self._pin_file = pin_file
        self.kek_limits = kek_limits
        self.counter = KekCounter()
        self._size = size
        # One for each lease that there can be: a semaphore, which is not written in Python as that of threading is.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self._places.put(None)
        self._lock = threading.Lock()
        self._anchor: Session | None = None
        self._token: TokenInfo | None = None
        self._logins = 0
        self._open: set[Session] = set()
        self._idle: list[Session] = []

    @contextmanager
    def lease(self, *, wanted: bytes | None = None, beyond_limit: bool = False) -> Iterator[Session]:
        """Have a session for a block, alone.

        Args:
            wanted: if a free session has loaded the KEK that is bound to this, that session is taken.
            beyond_limit: take a session beyond the pool's size, for somebody who already holds one.

        Raises:
            CryptokiError: the token gives no session, or does not let us log in.
            HsmCapacityError: all sessions are in use.
            HsmAuthenticationError: the token refuses the PIN.
            HsmUnavailableError: the token is not there, or a call into the library hangs.
        """
        watchdog.demand_answering()
        if not beyond_limit:
            self._take_place()
        try:
            generation = self._module.enter()
            try:
                session = self._take(generation, wanted)
                try:
                    yield session
                except BaseException as error:
                    # What is wrong with an input, or with a caller, leaves the session as good as it was.
                    if isinstance(error, CryptokiError) or not isinstance(error, Exception):
                        session.broken = True
                    raise
                finally:
                    self._give_back(session)
            finally:
                self._module.leave()
        finally:
            if not beyond_limit:
                self._places.put(None)

    def _take_place(self) -> None:
        try:
            self._places.get(timeout=_PATIENCE)
        except Empty:
            raise HsmCapacityError("All sessions with the token are in use.") from None

    @property
    def in_use(self) -> int:
        """How many sessions are leased."""
        return len(self._open) - len(self._idle)

    @property
    def idle(self) -> int:
        """How many open sessions wait for somebody."""
        return len(self._idle)

    @property
    def pin_is_refused(self) -> bool:
        """Whether the token refused the PIN that is in the file now."""
        return self._pin_file.is_refused()

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

    def _take(self, generation: int, wanted: bytes | None) -> Session:
        with self._lock:
            anchor = self._anchored(generation)
            while self._idle:
                session = self._idle.pop(self._best(wanted))
                if session.era == anchor.era:
                    return session
                self._close(session)
            session = Session(self.cryptoki.open_session(self.token.slot), anchor.era)
            self._open.add(session)
            return session

    def _best(self, wanted: bytes | None) -> int:
        if wanted is not None:
            for place, session in enumerate(self._idle):
                if wanted in session.keks:
                    return place
        return -1

    def _give_back(self, session: Session) -> None:
        while True:
            with self._lock:
                is_void = session.broken or self._anchor is None or session.era != self._anchor.era
                if is_void or len(self._idle) >= self._size:
                    self._close(session)
                    return
                if not session.to_unload:
                    self._idle.append(session)
                    return
                tenants, session.to_unload = session.to_unload, frozenset()
            self.unload(session, session.keks.forget_tenants(tenants, time.monotonic()))

    def _close(self, session: Session) -> None:
        self._open.discard(session)
        self.close_keeper(session)
        # The handle of an older generation may by now be somebody else's session.
        if session.era[0] == self._module.generation:
            with suppress(CryptokiError):
                self.cryptoki.close_session(session.handle)

    # The keepers of loaded KEKs.

    def keeper_of(self, session: Session) -> Session:
        """Return the session to which what the leased one loads is to belong."""
        if session.keeper is None:
            session.keeper = Session(self.cryptoki.open_session(self.token.slot), session.era)
        return session.keeper

    def close_keeper(self, session: Session) -> None:
        """Unload all that a session has loaded."""
        keeper, session.keeper = session.keeper, None
        self.counter.add(unloads=session.keks.forget_all())
        if keeper is not None and keeper.era[0] == self._module.generation:
            with suppress(CryptokiError):
                self.cryptoki.close_session(keeper.handle)

    def unload(self, session: Session, keks: list[LoadedKek]) -> None:
        """Destroy the objects of KEKs that a leased session has forgotten. If that fails, the session is broken."""
        if not keks or session.keeper is None:
            return
        try:
            for kek in keks:
                self.cryptoki.destroy_object(session.keeper.handle, kek.handle)
        except CryptokiError:
            session.broken = True
        self.counter.add(unloads=len(keks))

    def unload_tenants(self, tenants: frozenset[str]) -> None:
        """Unload all KEKs of these tenants, and those whose time is over: now, or at the end of a session's lease."""
        with self._module.in_use():
            with self._lock:
                for session in self._open:
                    session.to_unload |= tenants | {_NOBODY}
            for _ in range(self._size):
                with self._lock:
                    place = next((place for place, it in enumerate(self._idle) if it.to_unload), None)
                    if place is None:
                        return
                    session = self._idle.pop(place)
                self._give_back(session)

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
