"""KEKs: keys that exist in the token only while they are used, and outside it only wrapped by a main key.

Each is bound to its context (whose it is) by a tag that the KEK itself makes in the token, checked at every load: a
wrapped KEK under another's name is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hsm_adapter.constants import Mechanism
from hsm_adapter.cryptoki import CryptokiError
from hsm_adapter.errors import HsmError, KekBindingError, RejectedInputError
from hsm_adapter.mechanisms import AES_KW, IV_SIZE, TAG_SIZE, WRAPPED_SIZE, aes_gcm
from hsm_adapter.objects import Objects
from hsm_adapter.profiles import Profile
from hsm_adapter.recovery import Recovery
from hsm_adapter.return_values import Fault, fault_of
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.structures import Flags, Template
from hsm_adapter.templates import KEK_TRANSIT_FLAGS, KEK_USE_FLAGS, kek_birth, kek_rewrap, kek_use

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


class KekWork:
    """What is done with KEKs in a session."""

    def __init__(self, pool: SessionPool, objects: Objects, profile: Profile) -> None:
        self._cryptoki = pool.cryptoki
        self._objects = objects
        self._profile = profile

    def create(self, session: Session, main_key: int, context: bytes) -> WrappedKek:
        """Return a new KEK, wrapped and bound."""
        kek = self._cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, kek_birth())
        try:
            self._objects.read_back(session, kek, KEK_TRANSIT_FLAGS)
            wrapped = self._cryptoki.wrap_key(session.handle, AES_KW, main_key, kek)
        finally:
            self._cryptoki.destroy_object(session.handle, kek)
        used = self._unwrap(session, main_key, wrapped, kek_use(self._profile), KEK_USE_FLAGS)
        try:
            return WrappedKek(wrapped, self.encrypt(session, used, b"", context))
        finally:
            self._cryptoki.destroy_object(session.handle, used)

    def load(self, session: Session, main_key: int, kek: WrappedKek, context: bytes) -> int:
        """Return the handle of a KEK that can be used; it ends with the session at the latest.

        Raises:
            RejectedInputError: it has not the size of a wrapped KEK.
            KekBindingError: it is bound to another context.
            CryptokiError: it does not unwrap, or the token fails.
        """
        if len(kek.wrapped) != WRAPPED_SIZE or len(kek.binding) != BINDING_SIZE:
            raise RejectedInputError("A wrapped KEK has another size.")
        handle = self._unwrap(session, main_key, kek.wrapped, kek_use(self._profile), KEK_USE_FLAGS)
        try:
            self.decrypt(session, handle, kek.binding, context)
        except CryptokiError as error:
            # It has just unwrapped under this very main key, so the token is well: the tag is not this context's.
            if fault_of(error) in {Fault.CALLER, Fault.AMBIGUOUS}:
                raise KekBindingError("A KEK is bound to another context.") from error
            raise
        return handle

    def rewrap(self, session: Session, old: int, new: int, kek: WrappedKek, context: bytes) -> bytes:
        """Return the KEK wrapped under another main key, having proven there that it is the same KEK."""
        moved = self._unwrap(session, old, kek.wrapped, kek_rewrap(self._profile), KEK_TRANSIT_FLAGS)
        try:
            wrapped = self._cryptoki.wrap_key(session.handle, AES_KW, new, moved)
        finally:
            self._cryptoki.destroy_object(session.handle, moved)
        proven = self.load(session, new, WrappedKek(wrapped, kek.binding), context)
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
        return iv + self._cryptoki.encrypt(session.handle, aes_gcm(iv, associated_data), kek, plaintext)

    def decrypt(self, session: Session, kek: int, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext of what `encrypt` returned."""
        mechanism = aes_gcm(sealed[:IV_SIZE], associated_data)
        return self._cryptoki.decrypt(session.handle, mechanism, kek, sealed[IV_SIZE:])


class KekInUse:
    """A KEK in the token, for as long as its block lasts."""

    def __init__(
        self,
        *,
        recovery: Recovery,
        pool: SessionPool,
        work: KekWork,
        session: Session,
        load: Callable[[Session], int],
        handle: int,
    ) -> None:
        self._recovery = recovery
        self._pool = pool
        self._work = work
        self._session = session
        self._load = load
        self._handle = handle

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes).

        Raises:
            HsmError: the token does not answer.
        """
        return self._do(lambda: self._work.encrypt(self._session, self._handle, plaintext, associated_data))

    def decrypt(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext of what `encrypt` returned.

        Raises:
            RejectedInputError: `sealed` was not made by this KEK with this associated data.
            HsmError: the token does not answer.
        """
        if len(sealed) < IV_SIZE + TAG_SIZE:
            raise RejectedInputError("A ciphertext is too short.")
        return self._do(lambda: self._work.decrypt(self._session, self._handle, sealed, associated_data))

    def end(self) -> None:
        """Destroy the KEK's object. If that fails, it goes with its session, which is then closed."""
        if self._session.broken:
            return
        try:
            self._pool.cryptoki.destroy_object(self._session.handle, self._handle)
        except CryptokiError:
            self._session.broken = True

    def _do(self, operation: Callable[[], bytes]) -> bytes:
        try:
            if self._session.broken:
                # An item before this one failed, and its session cannot be trusted with another operation.
                self._pool.replace(self._session)
                self._handle = self._load(self._session)
            return operation()
        except CryptokiError as error:
            raise self._recovery.fault_within(self._session, error) from error
