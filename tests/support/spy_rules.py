"""What a recording of calls to a token keeps to, so that no key's value can have crossed: lists of what is allowed.

They are written down a second time here, and not taken from hsm_adapter/templates.py: they are what it is held against.
A call counts as it was made, whether or not the token refused it.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from tests.support.spy_log import Attribute, Call

WINDOW = 8
"""Bytes of a secret that must not be seen anywhere."""


class Kind(Enum):
    """What a handle stands for, by the template that made it."""

    WRAPPING_KEY = auto()
    PUBLIC_HALF = auto()
    MAIN_KEY = auto()
    KEK_IN_TRANSIT = auto()
    KEK_IN_USE = auto()
    AUDIT_KEY = auto()
    AUDIT_PUBLIC_HALF = auto()
    CONSTANT = auto()
    """32 zero bytes, of which fingerprints are made."""


def _booleans(true: str, false: str) -> dict[str, bool]:
    return {f"CKA_{name}": value for names, value in ((true, True), (false, False)) for name in names.split()}


def _mechanisms(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}Q", *numbers)


_IN_TRANSIT = {
    "CKA_CLASS": "CKO_SECRET_KEY",
    "CKA_KEY_TYPE": "CKK_AES",
    **_booleans("PRIVATE SENSITIVE EXTRACTABLE", "TOKEN ENCRYPT DECRYPT WRAP UNWRAP SIGN VERIFY DERIVE MODIFIABLE"),
}
_MUST_SAY: Mapping[Kind, Mapping[str, object]] = {
    Kind.PUBLIC_HALF: {
        "CKA_CLASS": "CKO_PUBLIC_KEY",
        "CKA_KEY_TYPE": "CKK_RSA",
        **_booleans("", "TOKEN PRIVATE ENCRYPT VERIFY WRAP"),
    },
    Kind.WRAPPING_KEY: {
        "CKA_CLASS": "CKO_PRIVATE_KEY",
        "CKA_KEY_TYPE": "CKK_RSA",
        "CKA_ALLOWED_MECHANISMS": _mechanisms(0x9),  # CKM_RSA_PKCS_OAEP
        **_booleans("TOKEN PRIVATE SENSITIVE UNWRAP", "EXTRACTABLE DECRYPT SIGN SIGN_RECOVER DERIVE MODIFIABLE"),
    },
    Kind.AUDIT_PUBLIC_HALF: {
        "CKA_CLASS": "CKO_PUBLIC_KEY",
        "CKA_KEY_TYPE": "CKK_EC",
        **_booleans("", "TOKEN PRIVATE ENCRYPT VERIFY WRAP"),
    },
    Kind.AUDIT_KEY: {
        "CKA_CLASS": "CKO_PRIVATE_KEY",
        "CKA_KEY_TYPE": "CKK_EC",
        "CKA_ALLOWED_MECHANISMS": _mechanisms(0x1041),  # CKM_ECDSA
        **_booleans("TOKEN PRIVATE SENSITIVE SIGN", "EXTRACTABLE DECRYPT UNWRAP SIGN_RECOVER DERIVE MODIFIABLE"),
    },
    Kind.MAIN_KEY: {
        "CKA_CLASS": "CKO_SECRET_KEY",
        "CKA_KEY_TYPE": "CKK_AES",
        "CKA_ALLOWED_MECHANISMS": _mechanisms(0x2109),  # CKM_AES_KEY_WRAP
        **_booleans("PRIVATE SENSITIVE WRAP UNWRAP", "EXTRACTABLE ENCRYPT DECRYPT SIGN VERIFY DERIVE MODIFIABLE"),
    },
    Kind.KEK_IN_TRANSIT: _IN_TRANSIT,
    Kind.KEK_IN_USE: {
        **_IN_TRANSIT,
        "CKA_ALLOWED_MECHANISMS": _mechanisms(0x1087),  # CKM_AES_GCM
        **_booleans("ENCRYPT DECRYPT", "EXTRACTABLE"),
    },
    Kind.CONSTANT: {**_IN_TRANSIT, "CKA_VALUE": bytes(32)},
}
_COPYABLE = "0x171"
"""The spy does not know CKA_COPYABLE, and shows of it that it is one byte."""
_MAY_SAY = {
    "CKA_TOKEN", "CKA_ID", "CKA_LABEL", "CKA_VALUE_LEN", "CKA_MODULUS_BITS", "CKA_PUBLIC_EXPONENT",
    "CKA_UNWRAP_TEMPLATE", "CKA_EC_PARAMS", _COPYABLE,
}  # fmt: skip
_FLAGS = {
    *_booleans("TOKEN PRIVATE SENSITIVE EXTRACTABLE ENCRYPT DECRYPT WRAP UNWRAP SIGN SIGN_RECOVER VERIFY DERIVE", ""),
    *_booleans("MODIFIABLE LOCAL ALWAYS_SENSITIVE NEVER_EXTRACTABLE", ""),
    _COPYABLE,
}
_MAY_BE_READ: Mapping[Kind, set[str]] = {
    Kind.WRAPPING_KEY: {*_FLAGS, "CKA_MODULUS"},
    Kind.AUDIT_KEY: _FLAGS,
    Kind.AUDIT_PUBLIC_HALF: {"CKA_EC_POINT"},
    Kind.MAIN_KEY: {*_FLAGS, "CKA_VALUE_LEN", "CKA_ALLOWED_MECHANISMS"},
    Kind.KEK_IN_TRANSIT: _FLAGS,
    Kind.KEK_IN_USE: _FLAGS,
}
_NESTED_SIZES = {0x100: 8, 0x40000600: 8}  # CKA_KEY_TYPE and CKA_ALLOWED_MECHANISMS; all others are one byte.
_UNWRAPS = {
    ("CKM_RSA_PKCS_OAEP", Kind.WRAPPING_KEY, Kind.MAIN_KEY),
    ("CKM_AES_KEY_WRAP", Kind.MAIN_KEY, Kind.KEK_IN_TRANSIT),
    ("CKM_AES_KEY_WRAP", Kind.MAIN_KEY, Kind.KEK_IN_USE),
}
_WRAPS = {
    ("CKM_AES_KEY_WRAP", Kind.MAIN_KEY, Kind.KEK_IN_TRANSIT),
    ("CKM_AES_KEY_WRAP", Kind.MAIN_KEY, Kind.CONSTANT),
}
_GENERATES = {("CKM_AES_KEY_GEN", Kind.MAIN_KEY), ("CKM_AES_KEY_GEN", Kind.KEK_IN_TRANSIT)}
_PAIRS = ([Kind.PUBLIC_HALF, Kind.WRAPPING_KEY], [Kind.AUDIT_PUBLIC_HALF, Kind.AUDIT_KEY])
_WORKS = {("CKM_AES_GCM", Kind.KEK_IN_USE)}
_SIGNS = {("CKM_ECDSA", Kind.AUDIT_KEY)}
_OAEP = {"hashAlg": "CKM_SHA256", "mgf": "CKG_MGF1_SHA256", "source": 1, "pSourceData[ulSourceDalaLen]": None}
_NO_KEYS = {
    "C_GetFunctionList", "C_Initialize", "C_GetSlotList", "C_GetTokenInfo", "C_OpenSession", "C_CloseSession",
    "C_GetSessionInfo", "C_Login", "C_FindObjectsFinal", "C_GenerateRandom", "C_DestroyObject",
}  # fmt: skip
"""They name no key's attributes, or only end a key."""
_LABELS = {
    b"keystead wrapping-key": Kind.WRAPPING_KEY,
    b"keystead main-key": Kind.MAIN_KEY,
    b"keystead audit-key": Kind.AUDIT_KEY,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A call that is not allowed."""

    number: int
    function: str
    what: str


class _Judge:
    """Follows the handles from call to call."""

    def __init__(self) -> None:
        self._kinds: dict[int, Kind] = {}
        self._searched: Kind | None = None
        self._rules: Mapping[str, Callable[[Call], Iterator[str]]] = {
            "C_GenerateKey": self._generated,
            "C_GenerateKeyPair": self._pair,
            "C_CreateObject": self._created,
            "C_UnwrapKey": self._unwrapped,
            "C_WrapKey": self._wrapped,
            "C_EncryptInit": self._put_to_use,
            "C_DecryptInit": self._put_to_use,
            "C_Encrypt": self._used,
            "C_Decrypt": self._used,
            "C_SignInit": self._put_to_use,
            "C_Sign": self._used,
            "C_GetAttributeValue": self._read,
            "C_FindObjectsInit": self._searched_for,
            "C_FindObjects": self._found,
        }

    def judge(self, call: Call) -> Iterator[str]:
        yield from self._hidden(call)
        if call.function in self._rules:
            yield from self._rules[call.function](call)
        elif call.function not in _NO_KEYS:
            yield "is not one of the functions that are needed"

    def _hidden(self, call: Call) -> Iterator[str]:
        """Tell of values that crossed unseen: the spy does not show them, or two are under one name."""
        asked = call.function == "C_GetAttributeValue"
        for direction, template in call.templates():
            if len({attribute.name for attribute in template}) != len(template):
                yield "states an attribute twice"
            for attribute in template:
                is_question = attribute.is_null or (asked and (direction == "in" or call.rv != "CKR_OK"))
                is_flag = attribute.name == _COPYABLE and attribute.size == 1
                if attribute.value is None and not is_question and not is_flag:
                    yield f"{attribute.name} crossed unseen"
                if attribute.name == "CKA_UNWRAP_TEMPLATE":
                    yield from _nested(attribute)

    def _kind(self, call: Call, handle: str) -> Kind | None:
        return self._kinds.get(call.handle(handle))

    def _make(self, call: Call, handle: str, template: Mapping[str, Attribute]) -> Iterator[Kind]:
        """Give the kind that a template makes; nothing if it is that of no kind."""
        for kind, must in _MUST_SAY.items():
            says = {name: attribute.value for name, attribute in template.items()}
            if must.items() <= says.items() and says.keys() - must.keys() <= _MAY_SAY and _COPYABLE in says:
                if call.rv == "CKR_OK":
                    self._kinds[call.handle(handle)] = kind
                yield kind

    def _generated(self, call: Call) -> Iterator[str]:
        kinds = list(self._make(call, "hKey", call.template()))
        if not kinds or (call.given["pMechanism->type"], kinds[0]) not in _GENERATES:
            yield "generates a key that is no main key and no KEK in transit"

    def _pair(self, call: Call) -> Iterator[str]:
        public = {**call.template("pPublicKeyTemplate"), _COPYABLE: Attribute(_COPYABLE, None, 1, is_null=False)}
        kinds = [
            *self._make(call, "hPublicKey", public),
            *self._make(call, "hPrivateKey", call.template("pPrivateKeyTemplate")),
        ]
        if kinds not in _PAIRS:
            yield "generates a pair that is no wrapping key and no audit key"

    def _created(self, call: Call) -> Iterator[str]:
        if list(self._make(call, "*phObject", call.template())) != [Kind.CONSTANT]:
            yield "creates an object from a value"

    def _unwrapped(self, call: Call) -> Iterator[str]:
        mechanism, by = call.given["pMechanism->type"], self._kind(call, "hUnwrappingKey")
        if not any((mechanism, by, kind) in _UNWRAPS for kind in self._make(call, "hKey", call.template())):
            yield f"unwraps by {mechanism} under {by} what is neither main key nor KEK"
        elif by is Kind.WRAPPING_KEY:
            found = {name: call.given[f"pMechanism->pParameter->{name}"] for name in _OAEP}
            if found != _OAEP:
                yield f"unwraps with {found}"

    def _wrapped(self, call: Call) -> Iterator[str]:
        what = call.given["pMechanism->type"], self._kind(call, "hWrappingKey"), self._kind(call, "hKey")
        if what not in _WRAPS:
            yield f"wraps {what}"

    def _put_to_use(self, call: Call) -> Iterator[str]:
        what = call.given["pMechanism->type"], self._kind(call, "hKey")
        if what not in (_SIGNS if call.function == "C_SignInit" else _WORKS):
            yield f"has {what} work on data"

    def _used(self, _call: Call) -> Iterator[str]:
        yield from ()  # Which key it is was said, and judged, at the beginning of the operation.

    def _read(self, call: Call) -> Iterator[str]:
        kind = self._kind(call, "hObject")
        if refused := call.template().keys() - _MAY_BE_READ.get(kind, set()):
            yield f"reads {', '.join(sorted(refused))} of {kind}"

    def _searched_for(self, call: Call) -> Iterator[str]:
        template = call.template()
        label = template["CKA_LABEL"].value if "CKA_LABEL" in template else None
        self._searched = _LABELS.get(label) if isinstance(label, bytes) else None
        if template.keys() != {"CKA_CLASS", "CKA_ID", "CKA_LABEL"} or self._searched is None:
            yield "searches by other things than class, id and label"

    def _found(self, call: Call) -> Iterator[str]:
        for handle in call.objects:
            if self._searched is None or self._kinds.setdefault(handle, self._searched) is not self._searched:
                yield "finds what is something else"


def _nested(attribute: Attribute) -> Iterator[str]:
    """Judge the CK_ATTRIBUTEs of a nested template, whose values the spy does not show: none has room for a key."""
    raw = attribute.value if isinstance(attribute.value, bytes) else b""
    if not raw or len(raw) % 24:
        yield "has a nested template that is none"
        return
    for number, _, size in struct.iter_unpack("=QQQ", raw):
        if size != _NESTED_SIZES.get(number, 1):
            yield f"has a nested attribute 0x{number:x} of {size} bytes"


def violations(calls: Iterable[Call]) -> list[Violation]:
    """Return what is not allowed, in order."""
    judge = _Judge()
    return [Violation(call.number, call.function, what) for call in calls for what in judge.judge(call)]


def windows(secret: bytes) -> list[bytes]:
    """Return every piece of a secret that must not be seen."""
    return [secret[start : start + WINDOW] for start in range(len(secret) - WINDOW + 1)]


@lru_cache(maxsize=4)
def _digits(text: bytes) -> bytes:
    return re.sub(rb"[^0-9A-F]", b"", text.upper())


def seen_in_text(text: bytes, secret: bytes) -> bool:
    """Return whether a piece of a secret is in a text, as it is or in hexadecimal, however spaced.

    A dump in rows of 16 bytes cuts some pieces of a key in two, but never all pieces of one of 32 bytes.
    """
    digits = _digits(text)
    return any(piece in text or piece.hex().upper().encode() in digits for piece in windows(secret))


def seen_in_calls(calls: Sequence[Call], secret: bytes) -> set[str]:
    """Return the functions in whose buffers or attributes a piece of a secret is."""
    pieces = windows(secret)
    return {call.function for call in calls for buffer in call.buffers() if any(piece in buffer for piece in pieces)}
