"""What a token says of itself."""

from dataclasses import dataclass
from typing import Self

from hsm_adapter.structures import CkTokenInfo


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """The token in a slot."""

    slot: int
    label: str
    manufacturer: str
    model: str
    serial: str
    firmware: str

    @classmethod
    def of(cls, slot: int, info: CkTokenInfo) -> Self:
        """Return it as text."""
        version = info.firmware_version
        return cls(
            slot=slot,
            label=_text(info.label),
            manufacturer=_text(info.manufacturer_id),
            model=_text(info.model),
            serial=_text(info.serial_number),
            firmware=f"{version.major}.{version.minor}",
        )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").rstrip(" \0")
