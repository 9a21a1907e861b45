"""What differs between vendors, and cannot be found out by trying."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Profile:
    """How a kind of token wants to be asked."""

    name: str
    is_software: bool = False
    """Keys live in the memory of the host's processes: nothing is attested."""
    states_value_len: bool = False
    """CKA_VALUE_LEN belongs into unwrap templates. PKCS#11 forbids it; some firmware asks for it."""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("standard"),
            Profile("softhsm", is_software=True),
            Profile("value-len", states_value_len=True),
        )
    }
)
