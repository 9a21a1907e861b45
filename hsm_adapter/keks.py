"""KEKs: keys that exist in the token only for a while, and outside it only wrapped by a main key.

Each is bound to its context (whose it is) by a tag that the KEK itself makes in the token, checked at every load: a
wrapped KEK under another's name is refused.
"""

import threading
import time
from dataclasses import dataclass

from hsm_adapter.constants import Mechanism
from hsm_adapter.errors import HsmError, HsmUnavailableError, KekBindingError, KekRejectedError, RejectedInputError
from hsm_adapter.floor import Turns
from hsm_adapter.kek_cache import LoadedKek
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KW, IV_SIZE, TAG_SIZE, WRAPPED_SIZE
from hsm_adapter.objects import Objects
from hsm_adapter.recovery import Recovery
from hsm_adapter.return_values import Fault, fault_of
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.structures import Flags, GcmCall, Template
from hsm_adapter.templates import KekRoles, Role

BINDING_SIZE = IV_SIZE + TAG_SIZE


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """A KEK outside the token.

    Attributes:
        wrapped: AES-KW of the KEK under a main key, 40 bytes.
        binding: IV (12 bytes) and tag (16 bytes) of AES-GCM under the KEK over an empty message with the context as
            associated data.
    """

    wrapped: bytes
    binding: bytes


@dataclass(frozen=True, slots=True)
class KekToUse:
    """A KEK, and all that is needed to load it.

    Attributes:
        tenant: whose it is; not empty. All KEKs of a tenant can be unloaded together.
        context: what its binding authenticates; no two KEKs have the same.
        stamp: what was loaded with another stamp is loaded anew.
        main_key: id of the main key that it is wrapped under.
        kek: its wrapped form.
    """

    tenant: str
    context: bytes
    stamp: int
    main_key: bytes
    kek: WrappedKek


class _Own(threading.local):
    """What each thread fills anew for each of its calls; to make it anew would cost more than to fill it."""

    def __init__(self) -> None:
        self.gcm = GcmCall()


class KekWork:
    """What is done with KEKs in a session."""

    def __init__(self, pool: SessionPool, objects: Objects, roles: KekRoles) -> None:
        self._pool = pool
        self._cryptoki = pool.cryptoki
        self._objects = objects
        self._roles = roles
        self._own = _Own()

    def create(self, session: Session, main_key: int, context: bytes) -> WrappedKek:
        """Return a new KEK, wrapped and bound."""
        kek = self._cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, self._roles.birth)
        try:
            self._objects.read_back(session, kek, self._roles.transit_flags)
            wrapped = self._cryptoki.wrap_key(session.handle, AES_KW, main_key, kek)
        finally:
            self._cryptoki.destroy_object(session.handle, kek)
        used = self._unwrap(session, main_key, wrapped, self._roles.use, self._roles.use_flags)
        try:
            return WrappedKek(wrapped, self.encrypt(session, used, b"", context))
        finally:
            self._cryptoki.destroy_object(session.handle, used)

    def load(self, session: Session, owner: Session, main_key: int, kek: WrappedKek, context: bytes) -> int:
        """Return the handle of a KEK that can be used; it ends with the session `owner` at the latest.

        Raises:
            RejectedInputError: it has not the size of a wrapped KEK.
            KekBindingError: it is bound to another context; `session` is another one then.
            CryptokiError: it does not unwrap, or the token fails.
        """
        if len(kek.wrapped) != WRAPPED_SIZE or len(kek.binding) != BINDING_SIZE:
            raise RejectedInputError("A wrapped KEK has another size.")
        handle = self._unwrap(owner, main_key, kek.wrapped, self._roles.use, self._roles.use_flags)
        try:
            self.decrypt(session, handle, kek.binding, context)
        except CryptokiError as error:
            self._cryptoki.destroy_object(owner.handle, handle)
            # It has just unwrapped under this very main key, so the token is well: the tag is not this context's.
            if fault_of(error) in {Fault.CALLER, Fault.AMBIGUOUS}:
                self._pool.replace(session)
                raise KekBindingError("A KEK is bound to another context.") from error
            raise
        return handle

    def rewrap(self, session: Session, old: int, new: int, kek: WrappedKek, context: bytes) -> bytes:
        """Return the KEK wrapped under another main key, having proven there that it is the same KEK."""
        moved = self._unwrap(session, old, kek.wrapped, self._roles.rewrap, self._roles.transit_flags)
        try:
            wrapped = self._cryptoki.wrap_key(session.handle, AES_KW, new, moved)
        finally:
            self._cryptoki.destroy_object(session.handle, moved)
        proven = self.load(session, session, new, WrappedKek(wrapped, kek.binding), context)
        self._cryptoki.destroy_object(session.handle, proven)
        return wrapped

    def _unwrap(self, session: Session, main_key: int, wrapped: bytes, template: Template, flags: Flags) -> int:
        handle = self._cryptoki.unwrap_key(session.handle, AES_KW, main_key, wrapped, template)
        try:
            self._objects.read_back(session, handle, flags)
        except HsmError:
            self._cryptoki.destroy_object(session.handle, handle)
            raise
        return handle

    def encrypt(self, session: Session, kek: int, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV, ciphertext and tag; the IV is random, of the token."""
        iv = self._cryptoki.generate_random(session.handle, IV_SIZE)
        mechanism = self._own.gcm.filled(iv, associated_data)
        return iv + self._cryptoki.encrypt(session.handle, mechanism, kek, plaintext)

    def decrypt(self, session: Session, kek: int, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext of what `encrypt` returned."""
        mechanism = self._own.gcm.filled(sealed[:IV_SIZE], associated_data)
        return self._cryptoki.decrypt(session.handle, mechanism, kek, sealed[IV_SIZE:])


class KeksInUse:
    """The KEKs that can be used in one leased session; what is not loaded there is loaded when it is first used.

    Attributes:
        hits: how often a KEK was loaded already.
    """

    def __init__(
        self,
        *,
        recovery: Recovery,
        pool: SessionPool,
        objects: Objects,
        work: KekWork,
        session: Session,
        turns: Turns,
    ) -> None:
        self._recovery = recovery
        self._pool = pool
        self._objects = objects
        self._work = work
        self._session = session
        self._turns = turns
        self.hits = 0

    def encrypt(self, kek: KekToUse, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes).

        Raises:
            As `decrypt`, save that nothing can be wrong with the plaintext.
        """
        self._turns.next()
        return self._work.encrypt(self._session, self._loaded(kek), plaintext, associated_data)

    def decrypt(self, kek: KekToUse, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext of what `encrypt` returned.

        Raises:
            RejectedInputError: `sealed` was not made by this KEK with this associated data.
            KekRejectedError: the KEK does not unwrap under its main key, or is bound to another context.
            ObjectMissingError: there is no such main key.
        """
        if len(sealed) < BINDING_SIZE:
            raise RejectedInputError("A ciphertext is too short.")
        self._turns.next()
        handle = self._loaded(kek)
        try:
            return self._work.decrypt(self._session, handle, sealed, associated_data)
        except CryptokiError as error:
            if fault_of(error) not in {Fault.CALLER, Fault.AMBIGUOUS}:
                raise
            self._pool.replace(self._session)
            self._demand_well(kek, handle)
            raise RejectedInputError(str(error)) from error

    def _demand_well(self, kek: KekToUse, handle: int) -> None:
        """Return if the KEK still opens its own binding: then what failed was not the token's fault."""
        try:
            self._work.decrypt(self._session, handle, kek.kek.binding, kek.context)
        except CryptokiError as error:
            if fault_of(error) in {Fault.CALLER, Fault.AMBIGUOUS}:
                self._session.broken = True
                raise HsmUnavailableError("A loaded KEK does not work any more.") from error
            raise

    def _loaded(self, kek: KekToUse) -> int:
        """Return the handle of the KEK's object in the token."""
        session = self._session
        known = session.keks.find(kek.context, kek.stamp, time.monotonic())
        if known is not None:
            self.hits += 1
            return known
        self._pool.unload(session, session.keks.forget(kek.context))
        handle = self._load(kek)
        limits = self._pool.kek_limits
        session.keks.add(kek.context, LoadedKek(handle, kek.tenant, kek.stamp, time.monotonic() + limits.lifetime))
        self._pool.counter.add(loads=1)
        self._pool.unload(session, session.keks.forget_oldest(limits.keks))
        return handle

    def _load(self, kek: KekToUse) -> int:
        session = self._session
        main_key = self._objects.find(session, Role.MAIN_KEY, kek.main_key)
        try:
            return self._work.load(session, self._pool.keeper_of(session), main_key, kek.kek, kek.context)
        except RejectedInputError as error:
            raise KekRejectedError(str(error)) from error
        except CryptokiError as error:
            if fault_of(error) not in {Fault.CALLER, Fault.AMBIGUOUS}:
                raise
            refusal = self._recovery.verdict(error)
            if not isinstance(refusal, RejectedInputError):
                raise refusal from error
            raise KekRejectedError(str(error)) from error
