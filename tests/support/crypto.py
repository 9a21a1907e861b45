"""What a customer, or an attacker, does outside the token."""

import hashlib
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

OAEP_SHA256 = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
WRONG_PADDINGS = {
    "OAEP with SHA-1": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
    "PKCS#1 v1.5": padding.PKCS1v15(),
    "SHA-256 with MGF1-SHA-1": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA256(), None),
    "SHA-1 with MGF1-SHA-256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA1(), None),
    "SHA-512": padding.OAEP(padding.MGF1(hashes.SHA512()), hashes.SHA512(), None),
    "a label": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label"),
}


def public_key(encoded: bytes) -> RSAPublicKey:
    load = load_pem_public_key if encoded.startswith(b"-----") else load_der_public_key
    key = load(encoded)
    assert isinstance(key, RSAPublicKey)
    return key


def encrypt(encoded_public_key: bytes, value: bytes, scheme: padding.AsymmetricPadding = OAEP_SHA256) -> bytes:
    return public_key(encoded_public_key).encrypt(value, scheme)


def fingerprint(value: bytes) -> bytes:
    return hashlib.sha256(keywrap.aes_key_wrap(value, bytes(32))).digest()


def openssl_encrypt(folder: Path, pem: bytes, value: bytes) -> bytes:
    """The very command that customers are told to use."""
    (folder / "public.pem").write_bytes(pem)
    (folder / "main_key.bin").write_bytes(value)
    command = (
        "openssl pkeyutl -encrypt -pubin -inkey public.pem -in main_key.bin -out main_key_encrypted.bin "
        "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"
    )
    subprocess.run(command.split(), check=True, cwd=folder)
    return (folder / "main_key_encrypted.bin").read_bytes()
