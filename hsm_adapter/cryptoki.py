"""PKCS#11 in Python: one method a function of the standard, handles in and out, and every failure a `CryptokiError`.

Nothing here decides anything, and what is returned is copied. Source: PKCS #11 Base Specification 2.40, section 5.
"""

import ctypes
import threading
from collections.abc import Sequence
from contextlib import suppress
from ctypes import byref, c_ubyte, c_ulong, create_string_buffer, sizeof
from pathlib import Path

from hsm_adapter.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKF_OS_LOCKING_OK,
    Attribute,
    Mechanism,
    Rv,
    SessionFlag,
    User,
)
from hsm_adapter.library import CryptokiError, Library
from hsm_adapter.structures import (
    CkAttribute,
    CkInitializeArgs,
    CkSessionInfo,
    CkTokenInfo,
    Flags,
    MechanismCall,
    Output,
    Template,
)
from hsm_adapter.token_info import TokenInfo

_MOST_ADDED = 512
"""Bytes by which a ciphertext is longer than its plaintext, at most."""
_USUAL_SIZE = 8192
"""Bytes up to which data is worked on in memory that a thread keeps for it."""


class _Own(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.output = Output(_USUAL_SIZE + _MOST_ADDED)


class Cryptoki(Library):
    """One loaded PKCS#11 module."""

    def __init__(self, path: Path) -> None:
        """Load the shared library; raises as `Library`."""
        super().__init__(path)
        self._own = _Own()

    # The library.

    def initialize(self, init_args: str | None) -> None:
        """Initialise the library for use by many threads. That it is already initialised is no error.

        Args:
            init_args: what some libraries want in pReserved.
        """
        reserved = init_args.encode() if init_args is not None else None
        arguments = CkInitializeArgs(None, None, None, None, CKF_OS_LOCKING_OK, reserved)
        try:
            self.call("C_Initialize", byref(arguments))
        except CryptokiError as error:
            if error.rv != Rv.CRYPTOKI_ALREADY_INITIALIZED:
                raise

    def finalize(self) -> None:
        """End all sessions and forget everything."""
        self.call("C_Finalize", None)

    def slots(self, *, token_present: bool = True) -> list[int]:
        """Return the ids of the slots."""
        return self._list("C_GetSlotList", token_present)

    def mechanisms(self, slot: int) -> set[int]:
        """Return the numbers of the mechanisms that a token claims to have."""
        return set(self._list("C_GetMechanismList", slot))

    def _list(self, function: str, argument: int) -> list[int]:
        count = c_ulong()
        self.call(function, argument, None, byref(count))
        found = (c_ulong * max(1, count.value))()
        self.call(function, argument, found, byref(count))
        return list(found[: count.value])

    def token_info(self, slot: int) -> TokenInfo:
        """Return what the token in a slot says of itself."""
        info = CkTokenInfo()
        self.call("C_GetTokenInfo", slot, byref(info))
        return TokenInfo.of(slot, info)

    def init_token(self, slot: int, so_pin: bytes, label: str) -> None:
        """Make an empty token."""
        self.call("C_InitToken", slot, so_pin, len(so_pin), label.encode().ljust(32))

    # Sessions.

    def open_session(self, slot: int) -> int:
        """Return a new read-write session."""
        session = c_ulong()
        self.call("C_OpenSession", slot, SessionFlag.SERIAL | SessionFlag.RW, None, None, byref(session))
        return session.value

    def close_session(self, session: int) -> None:
        """Close a session; its session objects go with it."""
        self.call("C_CloseSession", session)

    def session_state(self, session: int) -> int:
        """Return the state, `CKS_*`."""
        info = CkSessionInfo()
        self.call("C_GetSessionInfo", session, byref(info))
        return int(info.state)

    def login(self, session: int, user: User, pin: bytearray) -> None:
        """Log in for all sessions of the process. The PIN is not copied: the caller wipes it."""
        buffer = (c_ubyte * len(pin)).from_buffer(pin)
        self.call("C_Login", session, user, buffer, len(pin))

    def logout(self, session: int) -> None:
        """Log out of all sessions of the process."""
        self.call("C_Logout", session)

    def init_pin(self, session: int, pin: bytes) -> None:
        """Set the user's PIN; the security officer must be logged in."""
        self.call("C_InitPIN", session, pin, len(pin))

    # Objects.

    def create_object(self, session: int, template: Template) -> int:
        """Return the handle of an object with these attributes."""
        handle = c_ulong()
        self.call("C_CreateObject", session, template.array, template.count, byref(handle))
        return handle.value

    def copy_object(self, session: int, source: int, template: Template) -> int:
        """Return the handle of a copy that differs in these attributes."""
        handle = c_ulong()
        self.call("C_CopyObject", session, source, template.array, template.count, byref(handle))
        return handle.value

    def destroy_object(self, session: int, handle: int) -> None:
        """Destroy an object."""
        self.call("C_DestroyObject", session, handle)

    def find_objects(self, session: int, template: Template, limit: int) -> list[int]:
        """Return up to `limit` handles of objects that have these attributes."""
        self.call("C_FindObjectsInit", session, template.array, template.count)
        found = (c_ulong * limit)()
        count = c_ulong()
        handles: list[int] = []
        try:
            while len(handles) < limit:
                self.call("C_FindObjects", session, found, limit - len(handles), byref(count))
                if not count.value:
                    break
                handles += found[: count.value]
        finally:
            with suppress(CryptokiError):
                self.call("C_FindObjectsFinal", session)
        return handles

    def attribute(self, session: int, handle: int, attribute: Attribute) -> bytes:
        """Return one attribute as it is stored.

        Raises:
            CryptokiError: the object has no such attribute, or does not show it.
        """
        size = self._size(session, handle, attribute)
        buffer = create_string_buffer(max(1, size))
        asked = (CkAttribute * 1)(CkAttribute(attribute, ctypes.addressof(buffer), size))
        self.call("C_GetAttributeValue", session, handle, asked, 1)
        return buffer.raw[: asked[0].length]

    def _size(self, session: int, handle: int, attribute: Attribute) -> int:
        asked = (CkAttribute * 1)(CkAttribute(attribute, None, 0))
        self.call("C_GetAttributeValue", session, handle, asked, 1)
        if asked[0].length == CK_UNAVAILABLE_INFORMATION:
            raise CryptokiError("C_GetAttributeValue", Rv.ATTRIBUTE_TYPE_INVALID)
        return int(asked[0].length)

    def nested(self, session: int, handle: int, attribute: Attribute) -> dict[int, bytes]:
        """Return an attribute that is a template, by the numbers of what is in it.

        Raises:
            CryptokiError: the object has no such attribute, or does not show it.
        """
        count = self._size(session, handle, attribute) // sizeof(CkAttribute)
        inner = (CkAttribute * count)()
        outer = (CkAttribute * 1)(CkAttribute(attribute, ctypes.addressof(inner), sizeof(inner)))
        self.call("C_GetAttributeValue", session, handle, outer, 1)  # The numbers and the sizes,
        values = [create_string_buffer(max(1, it.length)) for it in inner]
        for it, value in zip(inner, values, strict=True):
            it.value = ctypes.addressof(value)
        self.call("C_GetAttributeValue", session, handle, outer, 1)  # and now the values.
        return {it.type: value.raw[: it.length] for it, value in zip(inner, values, strict=True)}

    def flags(self, session: int, handle: int, flags: Flags) -> bytes:
        """Return the values of several CK_BBOOL attributes, one byte each, read in one call.

        Raises:
            CryptokiError: the object lacks one of them, or does not show it.
        """
        answer = flags.take()
        self.call("C_GetAttributeValue", session, handle, answer.array, answer.count)
        values = answer.values()
        if values is None:
            raise CryptokiError("C_GetAttributeValue", Rv.ATTRIBUTE_TYPE_INVALID)
        flags.give_back(answer)
        return values

    def set_attributes(self, session: int, handle: int, template: Template) -> None:
        """Change attributes of an object."""
        self.call("C_SetAttributeValue", session, handle, template.array, template.count)

    # Keys.

    def generate_key(self, session: int, mechanism: Mechanism, template: Template) -> int:
        """Return the handle of a new secret key."""
        handle = c_ulong()
        call = MechanismCall(mechanism)
        self.call("C_GenerateKey", session, call.pointer, template.array, template.count, byref(handle))
        return handle.value

    def generate_key_pair(
        self, session: int, mechanism: Mechanism, public: Template, private: Template
    ) -> tuple[int, int]:
        """Return the handles of a new public and private key."""
        handles = c_ulong(), c_ulong()
        call = MechanismCall(mechanism)
        templates = public.array, public.count, private.array, private.count
        self.call("C_GenerateKeyPair", session, call.pointer, *templates, byref(handles[0]), byref(handles[1]))
        return handles[0].value, handles[1].value

    def wrap_key(self, session: int, mechanism: MechanismCall, wrapping_key: int, key: int, limit: int = 1024) -> bytes:
        """Return a key wrapped under another, at most `limit` bytes."""
        size = c_ulong(limit)
        wrapped = create_string_buffer(limit)
        self.call("C_WrapKey", session, mechanism.pointer, wrapping_key, key, wrapped, byref(size))
        return wrapped.raw[: size.value]

    def unwrap_key(
        self, session: int, mechanism: MechanismCall, unwrapping_key: int, wrapped: bytes, template: Template
    ) -> int:
        """Return the handle of the key that was wrapped."""
        handle = c_ulong()
        attributes = template.array, template.count
        self.call(
            "C_UnwrapKey",
            session,
            mechanism.pointer,
            unwrapping_key,
            wrapped,
            len(wrapped),
            *attributes,
            byref(handle),
        )
        return handle.value

    # Data.

    def encrypt(self, session: int, mechanism: MechanismCall, key: int, data: bytes) -> bytes:
        """Return the ciphertext, for a mechanism that adds at most 512 bytes."""
        self.call("C_EncryptInit", session, mechanism.pointer, key)
        return self._crypt("C_Encrypt", session, data)

    def decrypt(self, session: int, mechanism: MechanismCall, key: int, data: bytes) -> bytes:
        """Return the plaintext."""
        self.call("C_DecryptInit", session, mechanism.pointer, key)
        return self._crypt("C_Decrypt", session, data)

    def sign(self, session: int, mechanism: MechanismCall, key: int, data: bytes) -> bytes:
        """Return the signature of a digest, of at most 512 bytes."""
        self.call("C_SignInit", session, mechanism.pointer, key)
        return self._crypt("C_Sign", session, data)

    def _crypt(self, function: str, session: int, data: bytes) -> bytes:
        size = len(data)
        output = self._own.output if size <= _USUAL_SIZE else Output(size + _MOST_ADDED)
        try:
            self.call(function, session, data, size, output.buffer, output.size_pointer)
        except BaseException:
            output.clear()
            raise
        return output.take()

    def generate_random(self, session: int, size: int) -> bytes:
        """Return random bytes of the token."""
        buffer = create_string_buffer(size)
        self.call("C_GenerateRandom", session, buffer, size)
        return buffer.raw


def find_token(cryptoki: Cryptoki, *, label: str | None, serial: str | None) -> Sequence[TokenInfo]:
    """Return the tokens of this label or serial number; slots whose token cannot be read are passed over."""
    tokens = []
    for slot in cryptoki.slots():
        try:
            token = cryptoki.token_info(slot)
        except CryptokiError:
            continue  # An empty or uninitialised slot beside ours is nobody's fault.
        if (label is None or token.label == label) and (serial is None or token.serial == serial):
            tokens.append(token)
    return tokens
