"""The mechanisms of the service, by their standards' names.

RSA-OAEP: RFC 8017 with SHA-256 and MGF1-SHA-256. AES-KW: RFC 3394. AES-GCM: NIST SP 800-38D, IV of 96 bits, tag of 128.
ECDSA: FIPS 186-5 over P-256 and SHA-256. RSA-PSS: RFC 8017 with SHA-256, MGF1-SHA-256 and a salt of 32 bytes.
"""

import struct

from hsm_adapter.constants import Mechanism, Mgf
from hsm_adapter.structures import GcmCall, MechanismCall, oaep, pss

OAEP_SHA256 = oaep(Mechanism.SHA256, Mgf.MGF1_SHA256)
AES_KW = MechanismCall(Mechanism.AES_KEY_WRAP)
ECDSA = MechanismCall(Mechanism.ECDSA)
PSS_SALT_SIZE = 32
PSS_SHA256 = pss(Mechanism.SHA256, Mgf.MGF1_SHA256, PSS_SALT_SIZE)

_KNOWN = frozenset(Mechanism)

IV_SIZE = 12
TAG_SIZE = 16
AES_KEY_SIZE = 32
WRAPPED_SIZE = 40
"""A wrapped AES-256 key: RFC 3394 adds 8 bytes."""


def aes_gcm(iv: bytes, associated_data: bytes) -> MechanismCall:
    """Return AES-GCM with this IV (12 bytes)."""
    return GcmCall().filled(iv, associated_data)


def mechanism_names(raw: bytes) -> tuple[str, ...]:
    """Return the names of a list of mechanisms as an attribute holds it; of those that we do not know the numbers."""
    numbers = (number for (number,) in struct.iter_unpack("@L", raw))
    return tuple(f"CKM_{Mechanism(it).name}" if it in _KNOWN else hex(it) for it in numbers)
