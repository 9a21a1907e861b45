"""The structures of PKCS#11 as C sees them on Unix: native alignment, `CK_ULONG` is `unsigned long`.

Source: PKCS #11 Base Specification 2.40, section 3 (data types), and pkcs11t.h.
"""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import (
    POINTER,
    Array,
    Structure,
    addressof,
    byref,
    c_char,
    c_char_p,
    c_ubyte,
    c_ulong,
    c_void_p,
    create_string_buffer,
    memset,
    pointer,
    sizeof,
    string_at,
)
from typing import ClassVar, TypeAlias

from hsm_adapter.constants import CKZ_DATA_SPECIFIED, Attribute, Mechanism, Mgf


class CkVersion(Structure):
    """`CK_VERSION`."""

    _fields_: ClassVar = [("major", c_ubyte), ("minor", c_ubyte)]


class CkTokenInfo(Structure):
    """`CK_TOKEN_INFO`."""

    _fields_: ClassVar = [
        ("label", c_char * 32),
        ("manufacturer_id", c_char * 32),
        ("model", c_char * 16),
        ("serial_number", c_char * 16),
        ("flags", c_ulong),
        ("counts_and_sizes", c_ulong * 10),
        ("hardware_version", CkVersion),
        ("firmware_version", CkVersion),
        ("utc_time", c_char * 16),
    ]


class CkSessionInfo(Structure):
    """`CK_SESSION_INFO`."""

    _fields_: ClassVar = [("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong)]


class CkInitializeArgs(Structure):
    """`CK_C_INITIALIZE_ARGS`."""

    _fields_: ClassVar = [
        ("create_mutex", c_void_p),
        ("destroy_mutex", c_void_p),
        ("lock_mutex", c_void_p),
        ("unlock_mutex", c_void_p),
        ("flags", c_ulong),
        ("reserved", c_char_p),
    ]


class CkAttribute(Structure):
    """`CK_ATTRIBUTE`."""

    _fields_: ClassVar = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class CkMechanism(Structure):
    """`CK_MECHANISM`."""

    _fields_: ClassVar = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class CkOaepParams(Structure):
    """`CK_RSA_PKCS_OAEP_PARAMS`."""

    _fields_: ClassVar = [
        ("hash_algorithm", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("source_data", c_void_p),
        ("source_length", c_ulong),
    ]


class CkPssParams(Structure):
    """`CK_RSA_PKCS_PSS_PARAMS`."""

    _fields_: ClassVar = [("hash_algorithm", c_ulong), ("mgf", c_ulong), ("salt_length", c_ulong)]


class CkGcmParams(Structure):
    """`CK_GCM_PARAMS`."""

    _fields_: ClassVar = [
        ("iv", c_char_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_char_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


Value: TypeAlias = "bool | int | bytes | tuple[Mechanism, ...] | Mapping[Attribute, Value]"
"""CK_BBOOL, CK_ULONG, bytes, a list of mechanisms, or a nested template."""


class Template:
    """An array of CK_ATTRIBUTE and the memory that it points to; built once, used often."""

    def __init__(self, attributes: Mapping[Attribute, Value]) -> None:
        self._kept: list[object] = []
        self.count = len(attributes)
        self.array = (CkAttribute * self.count)(*(self._pack(kind, value) for kind, value in attributes.items()))

    def values(self) -> dict[int, bytes]:
        """Return the values by the attributes' numbers, as a token gives them back; of a template that nests none."""
        return {it.type: string_at(it.value, it.length) for it in self.array}

    def _pack(self, kind: Attribute, value: Value) -> CkAttribute:
        if isinstance(value, Mapping):
            nested = Template(value)
            self._kept.append(nested)
            return CkAttribute(kind, addressof(nested.array), sizeof(nested.array))
        buffer = _buffer(value)
        self._kept.append(buffer)
        return CkAttribute(kind, addressof(buffer), sizeof(buffer))


def _buffer(value: bool | int | bytes | Iterable[Mechanism]) -> "Array[c_char] | Array[c_ulong] | Array[c_ubyte]":  # noqa: FBT001 - a value
    if isinstance(value, bool):
        return (c_ubyte * 1)(value)
    if isinstance(value, int):
        return (c_ulong * 1)(value)
    if isinstance(value, bytes):
        return create_string_buffer(value, len(value))
    mechanisms = tuple(value)
    return (c_ulong * len(mechanisms))(*mechanisms)


class FlagsAnswer:
    """An array of CK_ATTRIBUTE that asks for CK_BBOOL values, and the memory for them."""

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self.count = len(attributes)
        self._values = (c_ubyte * self.count)()
        start = addressof(self._values)
        self.array = (CkAttribute * self.count)(
            *(CkAttribute(attribute, start + place, 1) for place, attribute in enumerate(attributes))
        )
        self._words = (c_ulong * (3 * self.count)).from_buffer(self.array)

    def clear(self) -> None:
        """Put what is no CK_BBOOL where the values go, so that what is not written is not taken for one."""
        memset(self._values, 0xFF, self.count)

    def values(self) -> bytes | None:
        """Return the values, one byte each, or None if one of them is not of one byte."""
        return bytes(self._values) if self._words[2::3] == [1] * self.count else None


class Flags:
    """CK_BBOOL attributes that are read back together, and what they should be; built once, used often."""

    def __init__(self, expected: Mapping[Attribute, bool]) -> None:
        self._expected = dict(expected)
        self._attributes = tuple(expected)
        self._values = bytes(expected.values())
        self._idle: list[FlagsAnswer] = []

    def but(self, changes: Mapping[Attribute, bool]) -> "Flags":
        """Return flags of which some should be something else."""
        return Flags({**self._expected, **changes})

    def take(self) -> FlagsAnswer:
        """Return memory for the answer, which nobody else uses until it is given back."""
        try:
            answer = self._idle.pop()
        except IndexError:
            answer = FlagsAnswer(self._attributes)
        answer.clear()
        return answer

    def give_back(self, answer: FlagsAnswer) -> None:
        """Let an answer's memory be used again; not after a call that failed, which may have changed the lengths."""
        self._idle.append(answer)

    def named(self, values: bytes) -> dict[str, bool]:
        """Return the values that were read, by the standard's names."""
        return {f"CKA_{it.name}": bool(value) for it, value in zip(self._attributes, values, strict=True)}

    def wrong(self, values: bytes) -> list[Attribute]:
        """Return the attributes whose values are not as they should be."""
        if values == self._values:
            return []
        triples = zip(self._attributes, values, self._values, strict=True)
        return [attribute for attribute, value, expected in triples if value != expected]


class MechanismCall:
    """A CK_MECHANISM and the parameter that it points to."""

    def __init__(self, mechanism: Mechanism, parameter: Structure | None = None) -> None:
        self._parameter = parameter
        length = 0 if parameter is None else sizeof(parameter)
        address = None if parameter is None else addressof(parameter)
        self.mechanism = mechanism
        self.pointer = pointer(CkMechanism(mechanism, address, length))


def oaep(hash_algorithm: Mechanism, mgf: Mgf) -> MechanismCall:
    """Return RSAES-OAEP with an empty label."""
    return MechanismCall(Mechanism.RSA_PKCS_OAEP, CkOaepParams(hash_algorithm, mgf, CKZ_DATA_SPECIFIED, None, 0))


def pss(hash_algorithm: Mechanism, mgf: Mgf, salt_length: int) -> MechanismCall:
    """Return RSASSA-PSS over a digest that the caller has made."""
    return MechanismCall(Mechanism.RSA_PKCS_PSS, CkPssParams(hash_algorithm, mgf, salt_length))


class GcmCall(MechanismCall):
    """AES-GCM with an IV of the caller's choice; to be filled anew for each call, by one thread at a time."""

    def __init__(self, tag_bits: int = 128) -> None:
        self._gcm = CkGcmParams(tag_bits=tag_bits)
        super().__init__(Mechanism.AES_GCM, self._gcm)

    def filled(self, iv: bytes, associated_data: bytes) -> "GcmCall":
        """Return itself, with these for its next call."""
        parameter, size = self._gcm, len(iv)
        parameter.iv, parameter.iv_length, parameter.iv_bits = iv, size, 8 * size
        parameter.aad, parameter.aad_length = associated_data, len(associated_data)
        return self


class Output:
    """Memory for what functions write, used again and again by one thread; what was written does not stay in it.

    Attributes:
        buffer: where a function writes to.
        size_pointer: the room, which the function replaces by the size of what it wrote.
    """

    def __init__(self, room: int) -> None:
        """Have `room` bytes."""
        self._room = room
        self._memory = memoryview(bytearray(room))
        self._size = c_ulong(room)
        self.buffer = (c_char * room).from_buffer(self._memory)
        self.size_pointer = byref(self._size)

    def take(self) -> bytes:
        """Return what was written, and overwrite it."""
        size = self._size.value
        written = bytes(self._memory[:size])
        self._memory[:size] = bytes(size)
        self._size.value = self._room
        return written

    def clear(self) -> None:
        """Overwrite everything: who knows what a function wrote that failed."""
        self._memory[:] = bytes(self._room)
        self._size.value = self._room


ATTRIBUTE_POINTER = POINTER(CkAttribute)
MECHANISM_POINTER = POINTER(CkMechanism)
