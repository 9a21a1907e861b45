"""The customer's side of an import, in memory: what the OpenSSL commands do."""

import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SIZE = 32
"""Bytes of a main key."""


@dataclass(frozen=True, slots=True)
class MadeMainKey:
    """A new main key.

    Attributes:
        value: 32 random bytes.
        encrypted: the same under the wrapping key: RSA-OAEP with SHA-256; as long as the modulus.
        fingerprint: SHA-256 of AES-KW (RFC 3394) of 32 zero bytes under the key; 32 bytes.
    """

    value: bytes = field(repr=False)
    encrypted: bytes
    fingerprint: bytes


def make(public_pem: bytes) -> MadeMainKey | None:
    """Return a new main key, or None if this is not the PEM of an RSA public key."""
    try:
        public_key = load_pem_public_key(public_pem)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(public_key, RSAPublicKey):
        return None
    value = secrets.token_bytes(SIZE)
    encrypted = public_key.encrypt(value, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    fingerprint = hashlib.sha256(keywrap.aes_key_wrap(value, bytes(SIZE))).digest()
    return MadeMainKey(value, encrypted, fingerprint)
