"""JSON Web Tokens and keys, made with nothing but `cryptography`: good ones, and any other."""

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
CURVES = {"ES256": (ec.SECP256R1(), "P-256", hashes.SHA256()), "ES384": (ec.SECP384R1(), "P-384", hashes.SHA384())}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@dataclass
class Signer:
    """A key of an issuer, and the algorithm that it signs with."""

    algorithm: str = "RS256"
    kid: str = field(default_factory=lambda: os.urandom(8).hex())
    bits: int = 2048
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None

    def __post_init__(self) -> None:
        if self.private is not None:
            return
        if self.algorithm in CURVES:
            self.private = ec.generate_private_key(CURVES[self.algorithm][0])
        else:
            self.private = rsa.generate_private_key(65537, self.bits)

    def jwk(self, **more) -> dict:
        numbers = self.private.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            parts = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        else:
            size = (self.private.curve.key_size + 7) // 8
            x, y = number(numbers.x, size), number(numbers.y, size)
            parts = {"kty": "EC", "crv": CURVES[self.algorithm][1], "x": x, "y": y}
        return {**parts, "kid": self.kid, "use": "sig", "alg": self.algorithm, **more}

    def sign(self, data: bytes) -> bytes:
        if self.algorithm in CURVES:
            curve, _, digest = CURVES[self.algorithm]
            size = (curve.key_size + 7) // 8
            pair = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            return b"".join(it.to_bytes(size, "big") for it in pair)
        return self.private.sign(data, PSS if self.algorithm == "PS256" else padding.PKCS1v15(), hashes.SHA256())

    def token(self, claims: dict, **header) -> str:
        return made({"alg": self.algorithm, "typ": "JWT", "kid": self.kid, **header}, claims, self.sign)


def made(header: dict | bytes, claims: dict | bytes, sign: Callable[[bytes], bytes]) -> str:
    """Return a token of any making."""
    parts = [it if isinstance(it, bytes) else json.dumps(it).encode() for it in (header, claims)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(sign(text.encode()))}"


def claims_of(issuer: str, audience: str = "keystead", **more) -> dict:
    """Return the claims of a good token; those that are None are left out."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": "alice", "iat": now, "exp": now + 300, **more}
    return {name: value for name, value in claims.items() if value is not None}


def key_set(*entries: dict) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def with_secret(secret: bytes) -> Callable[[bytes], bytes]:
    """Return what signs with a secret that both sides know."""
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()
