"""What the audit key has signed, as it lies in files: a line of JSON with a statement and its signature.

It is all or nothing: a line is exactly what Keystead writes and the key has signed it, or it is not genuine.
"""

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from keystead.v1.audit_service_pb2 import AuditCheckpoint, Receipt

_SALT_SIZE = 32

PublicKey = ec.EllipticCurvePublicKey | RSAPublicKey
Object = dict[str, Any]
"""A JSON object."""


class NotGenuineError(Exception):
    """A file is not what was signed; the message says what is wrong."""


def signed_line(field: str, signed: AuditCheckpoint | Receipt) -> bytes:
    """Return a line that holds a statement under this name, and its signature."""
    return canonical(
        {
            "algorithm": AuditCheckpoint.Algorithm.Name(signed.algorithm),
            field: json.loads(signed.signed_bytes),
            "public_key_sha256": signed.public_key_sha256.hex(),
            "signature": base64.b64encode(signed.signature).decode(),
        }
    )


def statement_of(line: bytes, field: str, kind: str, key: PublicKey) -> Object:
    """Return the statement that a line holds, if the key has signed it.

    Args:
        line: without its end.
        field: the statement's name.
        kind: the statement's own type.
        key: the audit key's public half.

    Raises:
        NotGenuineError: it has not.
    """
    told = object_of(line, f"of the {field}")
    try:
        statement, signature = told[field], base64.b64decode(told["signature"], validate=True)
        signer = str(told["public_key_sha256"])
        is_exact = canonical(told) == line and base64.b64encode(signature).decode() == told["signature"]
        is_exact = is_exact and statement["type"] == kind and told["algorithm"] == _algorithm(key)
    except (KeyError, TypeError, ValueError) as error:
        raise NotGenuineError(f"There is no {field}: the end of the file is missing, or it is another file.") from error
    if signer != fingerprint(key):
        raise NotGenuineError(f"It was signed by another key, whose SHA-256 is {signer}.")
    if not is_exact:
        raise NotGenuineError(f"There is no {field} as Keystead writes it.")
    try:
        _verify(key, signature, canonical(statement))
    except InvalidSignature as error:
        raise NotGenuineError(f"The signature of the {field} is not that of this key over it.") from error
    if not isinstance(statement, dict):
        raise NotGenuineError(f"There is no {field} as Keystead writes it.")
    return statement


def public_key(pem: bytes) -> PublicKey:
    """Return an audit key's public half.

    Raises:
        NotGenuineError: it is none.
    """
    try:
        key = load_pem_public_key(pem)
    except (UnsupportedAlgorithm, ValueError) as error:
        raise NotGenuineError("The key file holds no public key (PEM).") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | RSAPublicKey):
        raise NotGenuineError("The key file holds no key that signs audit logs.")
    return key


def fingerprint(key: PublicKey) -> str:
    """Return SHA-256 of a public key, as `openssl pkey -pubin -outform DER | openssl sha256` prints it."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def object_of(line: bytes, number: int | str) -> Object:
    """Return the JSON object that a line holds.

    Raises:
        NotGenuineError: it holds none.
    """
    try:
        found = json.loads(line)
    except (RecursionError, ValueError) as error:
        raise NotGenuineError(f"Line {number} is no JSON.") from error
    if not isinstance(found, dict):
        raise NotGenuineError(f"Line {number} is no JSON object.")
    return found


def canonical(value: Object) -> bytes:
    """Return an object as canonical JSON (RFC 8785, for what Keystead writes)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf(entry: bytes) -> bytes:
    """Return the hash of a leaf: RFC 6962, section 2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two halves: likewise."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _algorithm(key: PublicKey) -> str:
    ecdsa, pss = AuditCheckpoint.ECDSA_P256_SHA256, AuditCheckpoint.RSA_PSS_3072_SHA256
    return AuditCheckpoint.Algorithm.Name(pss if isinstance(key, RSAPublicKey) else ecdsa)


def _verify(key: PublicKey, signature: bytes, message: bytes) -> None:
    if isinstance(key, RSAPublicKey):
        key.verify(signature, message, padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_SIZE), hashes.SHA256())
    else:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
