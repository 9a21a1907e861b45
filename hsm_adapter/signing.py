"""Audit keys: pairs of the token that sign, each by one algorithm.

The digest is made here, since tokens differ in which hashes they sign with; SHA-256 is no secret's business.
"""

import hashlib
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from hsm_adapter import templates
from hsm_adapter.constants import Attribute
from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.errors import HsmError, HsmPolicyError
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import ECDSA, PSS_SALT_SIZE, PSS_SHA256
from hsm_adapter.objects import Objects
from hsm_adapter.recovery import Recovery
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.templates import Role, SignatureAlgorithm

_P256_SIZE = 32
_POINT_SIZE = 65
_OCTET_STRING = b"\x04\x41"

PublicKey = ec.EllipticCurvePublicKey | RSAPublicKey


def make_pair(
    cryptoki: Cryptoki, session: int, object_id: bytes, algorithm: SignatureAlgorithm, *, token: bool
) -> tuple[int, PublicKey]:
    """Return the handle of a new private key, and its public half.

    Raises:
        CryptokiError: the token does not make it.
        HsmPolicyError: it shows another kind of public half than was asked for; nothing remains.
    """
    mechanism, _ = algorithm.key_pair
    public, private = cryptoki.generate_key_pair(
        session,
        mechanism,
        templates.audit_public(algorithm),
        templates.audit_private(object_id, algorithm, token=token),
    )
    try:
        key = _public_key(cryptoki, session, public, algorithm)
        cryptoki.destroy_object(session, public)
    except CryptokiError:
        cryptoki.destroy_object(session, private)
        raise
    except ValueError as error:
        cryptoki.destroy_object(session, private)
        raise HsmPolicyError("The token shows the public half of an audit key in a form that is unknown.") from error
    return private, key


def _public_key(cryptoki: Cryptoki, session: int, public: int, algorithm: SignatureAlgorithm) -> PublicKey:
    if algorithm is SignatureAlgorithm.RSA_PSS_3072_SHA256:
        modulus = int.from_bytes(cryptoki.attribute(session, public, Attribute.MODULUS), "big")
        return RSAPublicNumbers(templates.RSA_PUBLIC_EXPONENT, modulus).public_key()
    point = cryptoki.attribute(session, public, Attribute.EC_POINT)
    # The standard has the point inside an OCTET STRING; some tokens answer the bare point.
    bare = point.removeprefix(_OCTET_STRING) if len(point) > _POINT_SIZE else point
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bare)


def sign(cryptoki: Cryptoki, session: int, key: int, algorithm: SignatureAlgorithm, message: bytes) -> bytes:
    """Return the signature of a message: of ECDSA as DER, as everybody else writes it.

    Raises:
        CryptokiError: the token does not sign.
        HsmPolicyError: it answers what cannot be a signature.
    """
    digest = hashlib.sha256(message).digest()
    if algorithm is SignatureAlgorithm.RSA_PSS_3072_SHA256:
        return cryptoki.sign(session, PSS_SHA256, key, digest)
    raw = cryptoki.sign(session, ECDSA, key, digest)
    if len(raw) != 2 * _P256_SIZE:
        raise HsmPolicyError("The token's ECDSA signature has not the length of one over P-256.")
    return encode_dss_signature(int.from_bytes(raw[:_P256_SIZE], "big"), int.from_bytes(raw[_P256_SIZE:], "big"))


def verify(public_key: PublicKey, signature: bytes, message: bytes) -> None:
    """Return if a signature is that of this message by the private half.

    Raises:
        HsmPolicyError: it is not.
    """
    try:
        if isinstance(public_key, RSAPublicKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), PSS_SALT_SIZE)
            public_key.verify(signature, message, scheme, hashes.SHA256())
        else:
            public_key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise HsmPolicyError("The token's signature does not fit the public half of the key.") from error


def from_der(public_key: bytes) -> PublicKey:
    """Return a public key of one of the two kinds.

    Raises:
        HsmPolicyError: it is none.
    """
    try:
        key = load_der_public_key(public_key)
    except ValueError as error:
        raise HsmPolicyError("The public half of the audit key is none.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | RSAPublicKey):
        raise HsmPolicyError("The public half of the audit key is of another kind.")
    return key


def to_der(public_key: PublicKey) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class AuditKeys:
    """The audit keys of a token."""

    def __init__(self, pool: SessionPool, objects: Objects, recovery: Recovery) -> None:
        self._cryptoki = pool.cryptoki
        self._objects = objects
        self._recovery = recovery

    def create(self, object_id: bytes, algorithm: SignatureAlgorithm) -> bytes:
        """Make a pair that signs and return its public half, DER SubjectPublicKeyInfo. What had this id is replaced.

        It is proven: what it signs fits the public half.
        """

        def work(session: Session) -> bytes:
            self._objects.destroy(session, Role.AUDIT_KEY, object_id)
            private, public = make_pair(self._cryptoki, session.handle, object_id, algorithm, token=True)
            try:
                self._objects.read_back(session, private, templates.AUDIT_KEY_FLAGS)
                verify(public, sign(self._cryptoki, session.handle, private, algorithm, object_id), object_id)
            except (HsmError, CryptokiError):
                self._cryptoki.destroy_object(session.handle, private)
                raise
            return to_der(public)

        return self._recovery.run(work)

    def check(self, object_id: bytes, algorithm: SignatureAlgorithm, public_key: bytes) -> None:
        """Return if the token has this audit key, with its attributes, and its signature fits the public half.

        Raises:
            ObjectMissingError: there is no such key.
            HsmPolicyError: it is another one.
        """
        message = secrets.token_bytes(32)

        def work(session: Session) -> bytes:
            handle = self._objects.find(session, Role.AUDIT_KEY, object_id)
            self._objects.read_back(session, handle, templates.AUDIT_KEY_FLAGS)
            return sign(self._cryptoki, session.handle, handle, algorithm, message)

        verify(from_der(public_key), self._recovery.run(work), message)

    def sign(self, object_id: bytes, algorithm: SignatureAlgorithm, message: bytes) -> bytes:
        """Return the signature of a message by an audit key of this algorithm; of ECDSA as DER.

        Raises:
            ObjectMissingError: there is no such key.
        """

        def work(session: Session) -> bytes:
            handle = self._objects.find(session, Role.AUDIT_KEY, object_id)
            return sign(self._cryptoki, session.handle, handle, algorithm, message)

        return self._recovery.run(work)
