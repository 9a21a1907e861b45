"""What the token says of its keys."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MainKeyReport:
    """What the token says of a main key.

    Attributes:
        fingerprint: SHA-256 of AES-KW of 32 zero bytes under the key; 32 bytes.
    """

    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class MainKeyDescription:
    """What the token says of a main key's attributes.

    Attributes:
        attributes: each CKA_* that is a yes or a no.
        mechanisms: the CKM_* that it may be used with.
    """

    attributes: Mapping[str, bool]
    mechanisms: tuple[str, ...]
