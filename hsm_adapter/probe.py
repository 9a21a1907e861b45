"""What a token can really do: known answers, read-backs, and attacks that must fail.

Mechanism lists promise more than tokens keep, so everything is tried, with session objects of the moment: a probe
leaves nothing behind.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm_adapter import signing, templates
from hsm_adapter.constants import Attribute, KeyType, Mechanism, ObjectClass
from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.errors import HsmError
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KEY_SIZE, AES_KW, IV_SIZE, OAEP_SHA256, aes_gcm
from hsm_adapter.module import Module
from hsm_adapter.objects import Objects
from hsm_adapter.pin_file import PinFile
from hsm_adapter.probe_trust import ProbeError, TrustTrial, demand, must_fail
from hsm_adapter.profiles import PROFILES, Profile
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.structures import MechanismCall, Template
from hsm_adapter.templates import SignatureAlgorithm, TrustMode
from hsm_adapter.token import HsmSettings
from hsm_adapter.token_info import TokenInfo

# Public test values: 32 bytes that a probe may show to anyone.
_MAIN_KEY = bytes(range(32))
_KEK = bytes(range(32, 64))
_CONTEXT = b"keystead probe"
_IV = bytes(IV_SIZE)
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_REFUSED: dict[str, padding.AsymmetricPadding] = {
    "RSA-OAEP with SHA-1 is refused": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),  # noqa: S303 - must be refused
    "RSA-OAEP with SHA-256 and MGF1-SHA-1 is refused": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA256(), None),  # noqa: S303
    "RSA PKCS#1 v1.5 is refused": padding.PKCS1v15(),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: what must hold.
        fault: why it does not; None if it does.
    """

    name: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class CapabilityReport:
    """What was found out about a token.

    Attributes:
        token: what it says of itself.
        profile: the profile's name.
        is_software: its keys live in the memory of the host.
        trust_mode: "flags": the attributes of keys hold, but who steals the PIN can still take out KEKs. "trusted": nor
            that, save under main keys that the security officer has marked.
        signature_algorithm: how audit keys of this token sign; None if the token does not sign.
        checks: all that was tried, in order.
        trust_checks: what the trust mode `trusted` needs besides; that the officer can mark a main key needs his PIN,
            and is not tried.
    """

    token: TokenInfo
    profile: str
    is_software: bool
    trust_mode: str
    signature_algorithm: SignatureAlgorithm | None
    checks: tuple[Check, ...]
    trust_checks: tuple[Check, ...]

    @property
    def needed(self) -> tuple[Check, ...]:
        """What must hold in the trust mode that is set."""
        return self.checks + self.trust_checks * (self.trust_mode == TrustMode.TRUSTED.value)

    @property
    def ok(self) -> bool:
        """Whether the service can run on this token."""
        return all(check.fault is None for check in self.needed)

    def as_dict(self) -> dict[str, object]:
        """Return the report in JSON's types."""
        signs = self.signature_algorithm.value if self.signature_algorithm else None
        return {"ok": self.ok, **asdict(self), "signature_algorithm": signs}


def probe(settings: HsmSettings) -> CapabilityReport:
    """Try out a token.

    Raises:
        HsmError: it cannot even be opened.
    """
    module = Module.load(settings.module_path, settings.init_args)
    pool = SessionPool(
        module,
        label=settings.token_label,
        serial=settings.token_serial,
        pin_file=PinFile(settings.pin_file),
        size=2,
    )
    profile = PROFILES[settings.profile]
    try:
        with pool.lease() as session:
            session.broken = True  # It holds the pair that all checks use; the pair ends with it.
            token = pool.token
            trial = _Trial(pool, profile, session)
            checks = tuple(_tried(pool, name, check) for name, check in trial.checks())
            trust = TrustTrial(pool.cryptoki, trial.objects, profile)
            trust_checks = tuple(_tried(pool, name, check) for name, check in trust.checks())
    finally:
        pool.close()
    mode = settings.trust_mode.value
    return CapabilityReport(token, profile.name, profile.is_software, mode, trial.signs_with, checks, trust_checks)


def _tried(pool: SessionPool, name: str, check: Callable[[Session], None]) -> Check:
    try:
        with pool.lease() as session:
            session.broken = True  # Whatever a check leaves behind ends with its session.
            check(session)
    except (ProbeError, HsmError, CryptokiError) as error:
        return Check(name, str(error))
    return Check(name, None)


class _Trial:
    """The checks, each in a session of its own."""

    def __init__(self, pool: SessionPool, profile: Profile, holder: Session) -> None:
        self._p11: Cryptoki = pool.cryptoki
        self.objects = Objects(pool)
        self._profile = profile
        self._holder = holder
        self.signs_with: SignatureAlgorithm | None = None

    def checks(self) -> Iterator[tuple[str, Callable[[Session], None]]]:
        yield "RSA key pair with the template of a wrapping key", self._wrapping_key
        yield "RSA-OAEP with SHA-256 unwraps 32 bytes; their fingerprint is AES-KW's of RFC 3394", self._known_main_key
        for name, scheme in _REFUSED.items():
            yield name, lambda session, scheme=scheme: self._refuses(session, _MAIN_KEY, scheme)  # type: ignore[misc]
        yield "a main key of 16 bytes is recognised", lambda session: self._recognises(session, 16)
        yield "a main key of 33 bytes is recognised", lambda session: self._recognises(session, 33)
        yield "AES-KW unwraps a known KEK; AES-GCM gives the known answer", self._known_kek
        yield "AES-KW refuses an altered KEK", self._altered_kek
        yield "AES-GCM refuses an altered tag", self._altered_tag
        yield "a KEK keeps its value over a re-wrap", self._rewrap
        yield "a main key does not encrypt or decrypt", self._no_encryption
        yield "a wrapping key does not decrypt", self._no_decryption
        yield "a key's attributes cannot be changed", self._no_change
        yield "a key cannot be copied", self._no_copy
        yield "a key's value cannot be read", self._no_reading
        yield "a KEK in use cannot be wrapped", self._no_export
        yield "nothing unwraps under a main key as readable", self._no_weak_unwrap
        yield "a main key wraps with AES-KW alone", self._no_other_wrap
        yield "an audit key signs, with ECDSA over P-256 or else RSA-PSS", self._signature
        yield "an audit key does nothing but sign", self._nothing_but_signatures

    # What the checks are made of.

    @cached_property
    def _pair(self) -> tuple[RSAPublicKey, int]:
        session = self._holder
        public, private = self._p11.generate_key_pair(
            session.handle,
            Mechanism.RSA_PKCS_KEY_PAIR_GEN,
            templates.wrapping_public(2048),
            templates.wrapping_private(b"probe", token=False),
        )
        modulus = int.from_bytes(self._p11.attribute(session.handle, public, Attribute.MODULUS), "big")
        return RSAPublicNumbers(templates.RSA_PUBLIC_EXPONENT, modulus).public_key(), private

    def _unwrap_main(self, session: Session, private: int, encrypted: bytes) -> int:
        template = templates.unwrapped_main_key(b"probe", self._profile, token=False)
        return self._p11.unwrap_key(session.handle, OAEP_SHA256, private, encrypted, template)

    def _main_key(self, session: Session) -> int:
        public, private = self._pair
        return self._unwrap_main(session, private, public.encrypt(_MAIN_KEY, _OAEP))

    def _kek(self, session: Session, main_key: int) -> int:
        wrapped = keywrap.aes_key_wrap(_MAIN_KEY, _KEK)
        return self._p11.unwrap_key(session.handle, AES_KW, main_key, wrapped, templates.kek_use(self._profile))

    # What must work.

    def _wrapping_key(self, session: Session) -> None:
        _, private = self._pair
        self.objects.read_back(session, private, templates.WRAPPING_KEY_FLAGS.but({Attribute.TOKEN: False}))

    def _known_main_key(self, session: Session) -> None:
        main_key = self._main_key(session)
        self.objects.read_back(session, main_key, templates.MAIN_KEY_FLAGS.but({Attribute.TOKEN: False}))
        size = int.from_bytes(self._p11.attribute(session.handle, main_key, Attribute.VALUE_LEN), "little")
        demand(size == AES_KEY_SIZE, f"CKA_VALUE_LEN of an unwrapped key of {AES_KEY_SIZE} bytes reads {size}")
        zeros = self._p11.create_object(session.handle, templates.public_constant())
        wrapped = self._p11.wrap_key(session.handle, AES_KW, main_key, zeros)
        expected = keywrap.aes_key_wrap(_MAIN_KEY, bytes(AES_KEY_SIZE))
        demand(hashlib.sha256(wrapped).digest() == hashlib.sha256(expected).digest(), "another fingerprint")

    def _refuses(self, session: Session, value: bytes, scheme: padding.AsymmetricPadding) -> None:
        public, private = self._pair
        with must_fail("accepts it"):
            self._unwrap_main(session, private, public.encrypt(value, scheme))

    def _recognises(self, session: Session, size: int) -> None:
        public, private = self._pair
        try:
            handle = self._unwrap_main(session, private, public.encrypt(bytes(range(size)), _OAEP))
        except CryptokiError:
            return
        found = int.from_bytes(self._p11.attribute(session.handle, handle, Attribute.VALUE_LEN), "little")
        demand(found != AES_KEY_SIZE, "the token takes it for one of 32 bytes")

    def _known_kek(self, session: Session) -> None:
        kek = self._kek(session, self._main_key(session))
        self.objects.read_back(session, kek, templates.KEK_USE_FLAGS)
        sealed = self._p11.encrypt(session.handle, aes_gcm(_IV, _CONTEXT), kek, b"content key")
        demand(sealed == AESGCM(_KEK).encrypt(_IV, b"content key", _CONTEXT), "another ciphertext")
        opened = self._p11.decrypt(session.handle, aes_gcm(_IV, _CONTEXT), kek, sealed)
        demand(opened == b"content key", "another plaintext")
        empty = self._p11.encrypt(session.handle, aes_gcm(_IV, _CONTEXT), kek, b"")
        demand(empty == AESGCM(_KEK).encrypt(_IV, b"", _CONTEXT), "another tag of the empty message")

    def _altered_kek(self, session: Session) -> None:
        main_key = self._main_key(session)
        wrapped = bytearray(keywrap.aes_key_wrap(_MAIN_KEY, _KEK))
        wrapped[-1] ^= 1
        with must_fail("accepts it"):
            template = templates.kek_use(self._profile)
            self._p11.unwrap_key(session.handle, AES_KW, main_key, bytes(wrapped), template)

    def _altered_tag(self, session: Session) -> None:
        kek = self._kek(session, self._main_key(session))
        sealed = bytearray(AESGCM(_KEK).encrypt(_IV, b"content key", _CONTEXT))
        sealed[-1] ^= 1
        with must_fail("accepts it"):
            self._p11.decrypt(session.handle, aes_gcm(_IV, _CONTEXT), kek, bytes(sealed))

    def _rewrap(self, session: Session) -> None:
        wrapped = keywrap.aes_key_wrap(_MAIN_KEY, _KEK)
        main_key = self._main_key(session)
        template = templates.kek_rewrap(self._profile)
        moved = self._p11.unwrap_key(session.handle, AES_KW, main_key, wrapped, template)
        self.objects.read_back(session, moved, templates.KEK_TRANSIT_FLAGS)
        demand(self._p11.wrap_key(session.handle, AES_KW, main_key, moved) == wrapped, "another wrapped form")
        born = self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, templates.kek_birth())
        self.objects.read_back(session, born, templates.KEK_TRANSIT_FLAGS)

    # What must not.

    def _no_encryption(self, session: Session) -> None:
        main_key = self._main_key(session)
        for mechanism in (MechanismCall(Mechanism.AES_ECB), aes_gcm(_IV, b"")):
            with must_fail("lets a main key encrypt"):
                self._p11.encrypt(session.handle, mechanism, main_key, bytes(16))
            with must_fail("lets a main key decrypt"):
                self._p11.decrypt(session.handle, mechanism, main_key, bytes(32))

    def _no_decryption(self, session: Session) -> None:
        public, private = self._pair
        with must_fail("lets a wrapping key decrypt"):
            self._p11.decrypt(session.handle, OAEP_SHA256, private, public.encrypt(_MAIN_KEY, _OAEP))

    def _no_change(self, session: Session) -> None:
        main_key = self._main_key(session)
        kek = self._kek(session, main_key)
        _, private = self._pair
        for handle, attribute in (
            (main_key, Attribute.DECRYPT),
            (main_key, Attribute.EXTRACTABLE),
            (private, Attribute.DECRYPT),
            (kek, Attribute.WRAP),
            (kek, Attribute.EXTRACTABLE),
        ):
            with must_fail(f"lets {attribute.name} be changed"):
                self._p11.set_attributes(session.handle, handle, Template({attribute: True}))

    def _no_copy(self, session: Session) -> None:
        main_key = self._main_key(session)
        for handle in (main_key, self._kek(session, main_key), self._pair[1]):
            with must_fail("copies a key"):
                self._p11.copy_object(session.handle, handle, Template({Attribute.TOKEN: False}))

    def _no_reading(self, session: Session) -> None:
        main_key = self._main_key(session)
        born = self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, templates.kek_birth())
        for handle in (main_key, self._kek(session, main_key), born):
            with must_fail("shows the value of a key"):
                self._p11.attribute(session.handle, handle, Attribute.VALUE)

    def _no_export(self, session: Session) -> None:
        main_key = self._main_key(session)
        kek = self._kek(session, main_key)
        with must_fail("wraps a KEK that is not extractable"):
            self._p11.wrap_key(session.handle, AES_KW, main_key, kek)

    def _no_weak_unwrap(self, session: Session) -> None:
        main_key = self._main_key(session)
        weak = Template(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.TOKEN: False,
                Attribute.SENSITIVE: False,
                Attribute.EXTRACTABLE: True,
            }
        )
        with must_fail("unwraps a KEK as not sensitive"):
            handle = self._p11.unwrap_key(session.handle, AES_KW, main_key, keywrap.aes_key_wrap(_MAIN_KEY, _KEK), weak)
            # A token may also answer with a key as the main key's template has it.
            self._p11.attribute(session.handle, handle, Attribute.VALUE)

    def _no_other_wrap(self, session: Session) -> None:
        main_key = self._main_key(session)
        born = self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, templates.kek_birth())
        for mechanism in (Mechanism.AES_ECB, Mechanism.AES_CBC):
            with must_fail(f"lets a main key wrap with {mechanism.name}"):
                self._p11.wrap_key(session.handle, MechanismCall(mechanism), main_key, born)

    # Audit keys.

    def _signature(self, session: Session) -> None:
        first, *others = SignatureAlgorithm
        try:
            self._signs(session, first)
        except (CryptokiError, HsmError):
            for algorithm in others:
                self._signs(session, algorithm)

    def _signs(self, session: Session, algorithm: SignatureAlgorithm) -> None:
        private, public = signing.make_pair(self._p11, session.handle, b"probe", algorithm, token=False)
        self.objects.read_back(session, private, templates.AUDIT_KEY_FLAGS.but({Attribute.TOKEN: False}))
        signing.verify(public, signing.sign(self._p11, session.handle, private, algorithm, _CONTEXT), _CONTEXT)
        self.signs_with = algorithm

    def _nothing_but_signatures(self, session: Session) -> None:
        algorithm = self.signs_with or next(iter(SignatureAlgorithm))
        private, _ = signing.make_pair(self._p11, session.handle, b"probe", algorithm, token=False)
        for attribute in (Attribute.EXTRACTABLE, Attribute.DECRYPT, Attribute.UNWRAP):
            with must_fail(f"lets {attribute.name} of an audit key be changed"):
                self._p11.set_attributes(session.handle, private, Template({attribute: True}))
        with must_fail("copies an audit key"):
            self._p11.copy_object(session.handle, private, Template({Attribute.TOKEN: False}))
