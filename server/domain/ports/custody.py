"""The token."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from server.domain.checkpoints import AuditKey, SignatureAlgorithm
from server.domain.errors import KeysteadError
from server.domain.ids import ObjectId, OrganizationId
from server.domain.intents import ObjectRole
from server.domain.keks import UsableKek, WrappedKek
from server.domain.receipts import KeyFacts, TokenFacts
from server.domain.wrapping_keys import Algorithm

T = TypeVar("T")


class KeksInUse(Protocol):
    """KEKs in the token, for as long as one piece of work lasts. Each is loaded when it is first used.

    Every method may raise KekRejectedError (the KEK does not unwrap under this main key, or is bound to another
    context) and MainKeyMissingError.
    """

    def encrypt(self, kek: UsableKek, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes)."""

    def decrypt(self, kek: UsableKek, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            WrappedKeyRejectedError: `sealed` is not what this KEK encrypted with this associated data.
        """


class Custody(Protocol):
    """The token, in ids and bytes. No key's value passes here in clear, save content keys.

    Every method may also raise TokenUnavailableError and TokenExhaustedError; those that name a main key,
    MainKeyMissingError; those that wrap under one, MainKeyNotTrustedError.
    """

    @property
    def waits_for_officer(self) -> bool:
        """Whether a new main key wraps nothing before the token's security officer has marked it."""

    def demand_trusted(self, object_id: ObjectId) -> None:
        """Return if this main key may wrap KEKs.

        Raises:
            MainKeyNotTrustedError: the security officer has not marked it, and this token's trust mode asks for that.
        """

    def create_wrapping_key(self, object_id: ObjectId, algorithm: Algorithm) -> bytes:
        """Make an RSA pair in the token and return its public half, DER SubjectPublicKeyInfo."""

    def check_wrapping_key(self, object_id: ObjectId, public_key: bytes) -> None:
        """Return if this is the public half of the wrapping key in the token.

        Args:
            object_id: the wrapping key.
            public_key: DER SubjectPublicKeyInfo.

        Raises:
            WrappingKeyDamagedError: it is not, or the token has no such key.
        """

    def examine_main_key(self, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        """Unwrap an upload for a moment and return its fingerprint (32 bytes); nothing remains in the token.

        Raises:
            EncryptedKeyRejectedError: it is not exactly 32 bytes under this wrapping key.
            WrappingKeyNotUsableError: the token has no such wrapping key (any more).
        """

    def unwrap_main_key(self, object_id: ObjectId, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        """Unwrap an upload as a main key of the token and return its fingerprint (32 bytes).

        Raises:
            EncryptedKeyRejectedError: it is not exactly 32 bytes under this wrapping key.
            WrappingKeyNotUsableError: the token has no such wrapping key (any more).
        """

    def generate_main_key(self, object_id: ObjectId) -> bytes:
        """Make a main key in the token and return its fingerprint (32 bytes)."""

    def find_main_key(self, object_id: ObjectId) -> bytes | None:
        """Return the fingerprint (32 bytes) of a main key in the token, or None if it is not there."""

    def create_audit_key(self, object_id: ObjectId, algorithm: SignatureAlgorithm) -> bytes:
        """Make a pair in the token that signs, and return its public half, DER SubjectPublicKeyInfo."""

    def has_audit_key(self, key: AuditKey) -> bool:
        """Return whether the token holds this key: what it signs fits the public half."""

    def sign(self, key: AuditKey, message: bytes) -> bytes:
        """Return the audit key's signature of a message; of ECDSA as DER."""

    def describe_main_key(self, object_id: ObjectId) -> KeyFacts | None:
        """Return what the token says of a main key, or None if it is not there."""

    def token(self) -> TokenFacts:
        """Return what the token says of itself."""

    def objects(self) -> list[tuple[ObjectRole | None, str]]:
        """Return the key objects of the token: role (None for one that is not of our making) and id in hexadecimal."""

    def destroy(self, role: ObjectRole, object_id: ObjectId) -> None:
        """Destroy an object of the token; it is no error if it is gone."""

    def create_kek(self, main_key: ObjectId, context: bytes) -> WrappedKek:
        """Make a KEK in the token, wrapped under a main key and bound to `context`."""

    def rewrap_keks(
        self, from_main_key: ObjectId, to_main_key: ObjectId, keks: Sequence[tuple[WrappedKek, bytes]]
    ) -> list[bytes | KeysteadError]:
        """Re-wrap KEKs (each with its binding context) in the token, and prove each result there.

        Returns:
            For each, the new wrapped form (40 bytes), or what went wrong with this one.
        """

    def with_keks(self, work: Callable[[KeksInUse], T], first: UsableKek) -> T:
        """Return what `work` makes of KEKs; it may be begun again from its start.

        Args:
            work: uses KEKs; an exception that it does not know it must let pass.
            first: the KEK that it uses first.
        """

    def unload_keks(self, organizations: frozenset[OrganizationId] = frozenset()) -> None:
        """Take the KEKs of these organisations out of the token, and those that were not used for long.

        Where a KEK is in use it goes when that use ends. Faults of the token are no matter: KEKs go with it.
        """

    def random(self, size: int) -> bytes:
        """Return `size` random bytes of the token."""
