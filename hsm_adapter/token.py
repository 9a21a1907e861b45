"""HsmToken: all that a key-management service may ask of an HSM, in ids and bytes, never in handles.

Ids are 16 bytes and become the objects' CKA_ID. Every method may raise HsmUnavailableError, HsmAuthenticationError,
HsmCapacityError, HsmPolicyError and HsmReadOnlyError beside what it names.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm_adapter import templates
from hsm_adapter.constants import Attribute, Mechanism
from hsm_adapter.errors import HsmError, HsmPolicyError, KekBindingError, RejectedInputError
from hsm_adapter.floor import Floor, Turns
from hsm_adapter.kek_cache import DEFAULT_KEK_LIMITS, KekCacheLimits, KekStatistics
from hsm_adapter.keks import KeksInUse, KekToUse, KekWork, WrappedKek
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KEY_SIZE, AES_KW, OAEP_SHA256, mechanism_names
from hsm_adapter.module import Module
from hsm_adapter.objects import Objects
from hsm_adapter.pin_file import PinFile
from hsm_adapter.profiles import PROFILES, Profile
from hsm_adapter.recovery import Recovery
from hsm_adapter.reports import MainKeyDescription, MainKeyReport
from hsm_adapter.return_values import Fault, fault_of
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.signing import AuditKeys
from hsm_adapter.statistics import HsmStatistics
from hsm_adapter.templates import Role, TrustMode, kek_roles
from hsm_adapter.token_info import TokenInfo
from hsm_adapter.trust import Trust

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HsmSettings:
    """Which token, and how to reach it.

    Attributes:
        module_path: the PKCS#11 library.
        token_label: the token's label, or None if it is named by its serial number.
        token_serial: the token's serial number, or None if it is named by its label.
        pin_file: holds the user's PIN; readable by nobody else.
        profile: a name in PROFILES.
        sessions: how many calls may be in the token at a time.
        init_args: what some libraries want in C_Initialize's pReserved.
        keks: how much of KEKs stays loaded.
        trust_mode: what keeps KEKs from being wrapped under anybody's key.
    """

    module_path: Path
    token_label: str | None
    token_serial: str | None
    pin_file: Path
    profile: str = "standard"
    sessions: int = 8
    init_args: str | None = None
    keks: KekCacheLimits = DEFAULT_KEK_LIMITS
    trust_mode: TrustMode = TrustMode.FLAGS


class HsmToken:
    """One token, logged in to.

    Attributes:
        audit_keys: its keys that sign.
        trust: how its main keys stand to the trust mode.
    """

    def __init__(self, module: Module, pool: SessionPool, profile: Profile, mode: TrustMode = TrustMode.FLAGS) -> None:
        self._pool = pool
        self._cryptoki = pool.cryptoki
        self._profile = profile
        self._objects = Objects(pool)
        self._recovery = Recovery(module, pool, self._objects, profile)
        self._keks = KekWork(pool, self._objects, kek_roles(profile, mode))
        self.audit_keys = AuditKeys(pool, self._objects, self._recovery)
        self.trust = Trust(pool, self._objects, self._recovery, mode)
        self._floor = Floor() if profile.is_software else None

    @classmethod
    @contextmanager
    def open(cls, settings: HsmSettings) -> "Iterator[HsmToken]":
        """Log in to the token for a block.

        Raises:
            HsmError: the module, the token or the PIN cannot be used; the message says which and why.
        """
        if settings.profile not in PROFILES:
            raise HsmPolicyError(f"There is no profile {settings.profile!r}: use one of {', '.join(PROFILES)}.")
        module = Module.load(settings.module_path, settings.init_args)
        pool = SessionPool(
            module,
            label=settings.token_label,
            serial=settings.token_serial,
            pin_file=PinFile(settings.pin_file),
            size=settings.sessions,
            kek_limits=settings.keks,
        )
        token = cls(module, pool, PROFILES[settings.profile], settings.trust_mode)
        try:
            token.check()
            yield token
        finally:
            pool.close()

    def check(self) -> None:
        """Return if the token can serve: a key of the moment is wrapped and unwrapped."""
        self._recovery.run(self._recovery.sing)

    @property
    def info(self) -> TokenInfo:
        """What the token says of itself."""
        return self._pool.token

    def statistics(self) -> HsmStatistics:
        """Return how it goes with the token, in numbers; the token is not asked."""
        calls, seconds = self._cryptoki.counts.so_far()
        return HsmStatistics(calls, seconds, self._pool.in_use, self._pool.idle, self._pool.pin_is_refused)

    def random(self, size: int) -> bytes:
        """Return `size` random bytes of the token."""
        return self._recovery.run(lambda session: self._cryptoki.generate_random(session.handle, size))

    def objects(self) -> list[tuple[Role | None, bytes]]:
        """Return the private and secret keys that the token holds: role (None if it has none of ours) and CKA_ID."""
        return self._recovery.run(self._objects.list_all)

    # Wrapping keys.

    def create_wrapping_key(self, object_id: bytes, *, modulus_bits: int) -> bytes:
        """Make an RSA pair and return its public half, DER SubjectPublicKeyInfo. What had this id is replaced."""

        def work(session: Session) -> bytes:
            self._objects.destroy(session, Role.WRAPPING_KEY, object_id)
            public, private = self._cryptoki.generate_key_pair(
                session.handle,
                Mechanism.RSA_PKCS_KEY_PAIR_GEN,
                templates.wrapping_public(modulus_bits),
                templates.wrapping_private(object_id),
            )
            self._cryptoki.destroy_object(session.handle, public)
            with self._destroyed_on_error(session, private):
                self._objects.read_back(session, private, templates.WRAPPING_KEY_FLAGS)
                return self._public_key(session, private)

        return self._recovery.run(work)

    def wrapping_public_key(self, object_id: bytes) -> bytes:
        """Return the public half of a wrapping key, DER SubjectPublicKeyInfo.

        Raises:
            ObjectMissingError: there is no such key.
        """
        return self._recovery.run(
            lambda session: self._public_key(session, self._objects.find(session, Role.WRAPPING_KEY, object_id))
        )

    def _public_key(self, session: Session, private: int) -> bytes:
        modulus = int.from_bytes(self._cryptoki.attribute(session.handle, private, Attribute.MODULUS), "big")
        key = RSAPublicNumbers(templates.RSA_PUBLIC_EXPONENT, modulus).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    # Main keys.

    def examine_main_key(self, wrapping_key: bytes, encrypted: bytes) -> bytes:
        """Unwrap an upload as a session object, destroy it, and return its fingerprint (32 bytes).

        Raises:
            RejectedInputError: it is not exactly 32 bytes, OAEP with SHA-256, under this wrapping key.
            ObjectMissingError: there is no such wrapping key.
        """

        def work(session: Session) -> bytes:
            handle = self._unwrap_main_key(session, b"examined", wrapping_key, encrypted, token=False)
            fingerprint = self._fingerprint(session, handle)
            self._cryptoki.destroy_object(session.handle, handle)
            return fingerprint

        return self._recovery.run(work)

    def unwrap_main_key(self, object_id: bytes, wrapping_key: bytes, encrypted: bytes) -> MainKeyReport:
        """Unwrap an upload as a main key of the token. What had this id is replaced.

        Raises:
            RejectedInputError: it is not exactly 32 bytes, OAEP with SHA-256, under this wrapping key.
            ObjectMissingError: there is no such wrapping key.
        """

        def work(session: Session) -> MainKeyReport:
            self._objects.destroy(session, Role.MAIN_KEY, object_id)
            handle = self._unwrap_main_key(session, object_id, wrapping_key, encrypted, token=True)
            return self._reported(session, handle)

        return self._recovery.run(work)

    def _unwrap_main_key(
        self, session: Session, object_id: bytes, wrapping_key: bytes, encrypted: bytes, *, token: bool
    ) -> int:
        private = self._objects.find(session, Role.WRAPPING_KEY, wrapping_key)
        template = templates.unwrapped_main_key(object_id, self._profile, self.trust.mode, token=token)
        handle = self._cryptoki.unwrap_key(session.handle, OAEP_SHA256, private, encrypted, template)
        with self._destroyed_on_error(session, handle):
            size = self._cryptoki.attribute(session.handle, handle, Attribute.VALUE_LEN)
            if int.from_bytes(size, "little") != AES_KEY_SIZE:
                raise RejectedInputError("The unwrapped key has another length.")
            self._objects.read_back(session, handle, templates.MAIN_KEY_FLAGS.but({Attribute.TOKEN: token}))
        return handle

    def generate_main_key(self, object_id: bytes) -> MainKeyReport:
        """Make a main key in the token. What had this id is replaced."""

        def work(session: Session) -> MainKeyReport:
            self._objects.destroy(session, Role.MAIN_KEY, object_id)
            template = templates.generated_main_key(object_id, self.trust.mode)
            handle = self._cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, template)
            with self._destroyed_on_error(session, handle):
                self._objects.read_back(session, handle, templates.MAIN_KEY_FLAGS)
            return self._reported(session, handle)

        return self._recovery.run(work)

    def report_main_key(self, object_id: bytes) -> MainKeyReport:
        """Return what the token says of a main key, having read its attributes back.

        Raises:
            ObjectMissingError: there is no such key.
        """

        def work(session: Session) -> MainKeyReport:
            handle = self._objects.find(session, Role.MAIN_KEY, object_id)
            self._objects.read_back(session, handle, templates.MAIN_KEY_FLAGS)
            return self._reported(session, handle)

        return self._recovery.run(work)

    def describe_main_key(self, object_id: bytes) -> MainKeyDescription:
        """Return the attributes of a main key, read from the token now.

        Raises:
            ObjectMissingError: there is no such key.
        """

        def work(session: Session) -> MainKeyDescription:
            handle = self._objects.find(session, Role.MAIN_KEY, object_id)
            told: dict[str, bool] = {}
            for flags in templates.TOLD_OF_MAIN_KEYS[self.trust.mode]:
                told |= flags.named(self._cryptoki.flags(session.handle, handle, flags))
            raw = self._cryptoki.attribute(session.handle, handle, Attribute.ALLOWED_MECHANISMS)
            return MainKeyDescription(told, mechanism_names(raw))

        return self._recovery.run(work)

    @property
    def is_software(self) -> bool:
        """Whether its keys live in the memory of the host: nothing is attested."""
        return self._profile.is_software

    def _reported(self, session: Session, handle: int) -> MainKeyReport:
        return MainKeyReport(self._fingerprint(session, handle))

    def _fingerprint(self, session: Session, main_key: int) -> bytes:
        zeros = self._cryptoki.create_object(session.handle, templates.public_constant())
        wrapped = self._cryptoki.wrap_key(session.handle, AES_KW, main_key, zeros)
        self._cryptoki.destroy_object(session.handle, zeros)
        return hashlib.sha256(wrapped).digest()

    @contextmanager
    def _destroyed_on_error(self, session: Session, handle: int) -> Iterator[None]:
        try:
            yield
        except (HsmError, CryptokiError):
            self._cryptoki.destroy_object(session.handle, handle)
            raise

    def destroy(self, role: Role, object_id: bytes) -> None:
        """Destroy what has this role and id; nothing is no error."""
        self._recovery.run(lambda session: self._objects.destroy(session, role, object_id))

    # KEKs.

    def create_kek(self, main_key: bytes, context: bytes) -> WrappedKek:
        """Make a KEK, wrapped under a main key and bound to `context`.

        Raises:
            ObjectMissingError: there is no such main key.
            KeyNotTrustedError: it may not wrap KEKs.
        """

        def work(session: Session) -> WrappedKek:
            handle = self._objects.find(session, Role.MAIN_KEY, main_key)
            self.trust.demand_marked(session, handle)
            return self._keks.create(session, handle, context)

        return self._recovery.run(work)

    def rewrap_keks(
        self, old: bytes, new: bytes, keks: Sequence[tuple[WrappedKek, bytes]]
    ) -> list[bytes | RejectedInputError | KekBindingError]:
        """Re-wrap KEKs (each with its context) from one main key to another, and prove each there.

        Returns:
            For each, its new wrapped form (40 bytes), or why it is refused; that stops no other.

        Raises:
            ObjectMissingError: one of the main keys is not there.
            KeyNotTrustedError: the new main key may not wrap KEKs.
        """

        def work(session: Session) -> list[bytes | RejectedInputError | KekBindingError]:
            results: list[bytes | RejectedInputError | KekBindingError] = []
            old_handle = self._objects.find(session, Role.MAIN_KEY, old)
            new_handle = self._objects.find(session, Role.MAIN_KEY, new)
            self.trust.demand_marked(session, new_handle)
            for kek, context in keks:
                try:
                    results.append(self._keks.rewrap(session, old_handle, new_handle, kek, context))
                except (RejectedInputError, KekBindingError) as error:
                    results.append(error)
                    self._pool.replace(session)
                except CryptokiError as error:
                    if fault_of(error) not in {Fault.CALLER, Fault.AMBIGUOUS}:
                        raise
                    refusal = self._recovery.verdict(error)
                    if not isinstance(refusal, RejectedInputError):
                        raise refusal from error
                    results.append(refusal)
                    self._pool.replace(session)
            return results

        return self._recovery.run(work)

    def with_keks(self, work: Callable[[KeksInUse], T], *, first: KekToUse | None = None) -> T:
        """Return what `work` makes of KEKs. When the token is lost meanwhile, `work` is begun again from its start.

        Args:
            work: uses KEKs; an exception that it does not know it must let pass.
            first: the KEK that is used first.
        """

        def run(session: Session) -> T:
            turns = Turns(self._floor)
            in_use = KeksInUse(
                recovery=self._recovery,
                pool=self._pool,
                objects=self._objects,
                work=self._keks,
                session=session,
                turns=turns,
            )
            try:
                return work(in_use)
            finally:
                turns.end()
                self._pool.counter.add(hits=in_use.hits)

        return self._recovery.run(run, wanted=None if first is None else first.context)

    def unload_keks(self, tenants: frozenset[str] = frozenset()) -> None:
        """Destroy the objects of the KEKs of these tenants, and of those that were loaded long ago.

        It is done when this returns, save in sessions that are in use: there, when that use ends.
        """
        self._pool.unload_tenants(tenants)

    @property
    def kek_statistics(self) -> KekStatistics:
        """What was counted of loading KEKs."""
        return self._pool.counter.read()
