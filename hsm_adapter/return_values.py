"""What each return value means for us: one table.

Source of the codes: PKCS #11 Base Specification 2.40, section 5.1. Of their use: what SoftHSM 2.6.1, nShield and
opencryptoki were seen or are documented to answer.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

from hsm_adapter.constants import Rv
from hsm_adapter.errors import (
    HsmAuthenticationError,
    HsmCapacityError,
    HsmError,
    HsmPolicyError,
    HsmReadOnlyError,
    HsmUnavailableError,
    RejectedInputError,
)
from hsm_adapter.library import CryptokiError


class Fault(Enum):
    """Classes of faults, by what is to be done about them."""

    CALLER = auto()
    """The input is bad. Nothing is to be done."""
    AMBIGUOUS = auto()
    """Bad input or a sick token: a canary decides."""
    SESSION = auto()
    """The session is gone. Take another one."""
    LOGIN = auto()
    """Nobody is logged in. Log in again, once for all threads."""
    HANDLE = auto()
    """The object's handle is stale. Find the object again by its id."""
    TOKEN = auto()
    """The token or the library is gone. Climb the ladder: new session, login, initialise."""
    CAPACITY = auto()
    """No room. Try again later."""
    POLICY = auto()
    """Our bug, or the token's policy. Not to be repeated."""
    AUTH = auto()
    """The PIN is refused. Never to be repeated."""
    WRITE = auto()
    """The token is read-only. Not to be repeated."""


FAULTS: Mapping[int, Fault] = MappingProxyType(
    {
        Rv.WRAPPED_KEY_INVALID: Fault.CALLER,
        Rv.WRAPPED_KEY_LEN_RANGE: Fault.CALLER,
        Rv.ENCRYPTED_DATA_INVALID: Fault.CALLER,
        Rv.ENCRYPTED_DATA_LEN_RANGE: Fault.CALLER,
        Rv.AEAD_DECRYPT_FAILED: Fault.CALLER,
        Rv.DATA_INVALID: Fault.CALLER,
        Rv.DATA_LEN_RANGE: Fault.CALLER,
        Rv.KEY_SIZE_RANGE: Fault.CALLER,
        Rv.GENERAL_ERROR: Fault.AMBIGUOUS,
        Rv.FUNCTION_FAILED: Fault.AMBIGUOUS,
        Rv.SESSION_CLOSED: Fault.SESSION,
        Rv.SESSION_HANDLE_INVALID: Fault.SESSION,
        Rv.OPERATION_ACTIVE: Fault.SESSION,
        Rv.OPERATION_NOT_INITIALIZED: Fault.SESSION,
        Rv.CANCEL: Fault.SESSION,
        Rv.FUNCTION_CANCELED: Fault.SESSION,
        Rv.BUFFER_TOO_SMALL: Fault.SESSION,
        Rv.USER_NOT_LOGGED_IN: Fault.LOGIN,
        Rv.KEY_HANDLE_INVALID: Fault.HANDLE,
        Rv.OBJECT_HANDLE_INVALID: Fault.HANDLE,
        Rv.WRAPPING_KEY_HANDLE_INVALID: Fault.HANDLE,
        Rv.UNWRAPPING_KEY_HANDLE_INVALID: Fault.HANDLE,
        Rv.DEVICE_ERROR: Fault.TOKEN,
        Rv.DEVICE_REMOVED: Fault.TOKEN,
        Rv.TOKEN_NOT_PRESENT: Fault.TOKEN,
        Rv.TOKEN_NOT_RECOGNIZED: Fault.TOKEN,
        Rv.SLOT_ID_INVALID: Fault.TOKEN,
        Rv.CRYPTOKI_NOT_INITIALIZED: Fault.TOKEN,
        Rv.MUTEX_BAD: Fault.TOKEN,
        Rv.HOST_MEMORY: Fault.CAPACITY,
        Rv.DEVICE_MEMORY: Fault.CAPACITY,
        Rv.SESSION_COUNT: Fault.CAPACITY,
        Rv.PIN_INCORRECT: Fault.AUTH,
        Rv.PIN_INVALID: Fault.AUTH,
        Rv.PIN_LEN_RANGE: Fault.AUTH,
        Rv.PIN_EXPIRED: Fault.AUTH,
        Rv.PIN_LOCKED: Fault.AUTH,
        Rv.USER_PIN_NOT_INITIALIZED: Fault.AUTH,
        Rv.USER_ANOTHER_ALREADY_LOGGED_IN: Fault.AUTH,
        Rv.USER_TOO_MANY_TYPES: Fault.AUTH,
        Rv.USER_TYPE_INVALID: Fault.AUTH,
        Rv.TOKEN_WRITE_PROTECTED: Fault.WRITE,
        Rv.SESSION_READ_ONLY: Fault.WRITE,
    }
)
"""What is not here and known is POLICY; what is not known (a vendor's own code) is TOKEN."""

_ERRORS: Mapping[Fault, type[HsmError]] = MappingProxyType(
    {
        Fault.CALLER: RejectedInputError,
        Fault.AMBIGUOUS: HsmUnavailableError,
        Fault.SESSION: HsmUnavailableError,
        Fault.LOGIN: HsmUnavailableError,
        Fault.HANDLE: HsmUnavailableError,
        Fault.TOKEN: HsmUnavailableError,
        Fault.CAPACITY: HsmCapacityError,
        Fault.POLICY: HsmPolicyError,
        Fault.AUTH: HsmAuthenticationError,
        Fault.WRITE: HsmReadOnlyError,
    }
)

_KNOWN = frozenset(Rv)


def fault_of(error: CryptokiError) -> Fault:
    """Return the class of a failure."""
    return FAULTS.get(error.rv, Fault.POLICY if error.rv in _KNOWN else Fault.TOKEN)


def error_for(fault: Fault, error: CryptokiError) -> HsmError:
    """Return what a caller of the adapter is to see; raise it from `error`."""
    return _ERRORS[fault](str(error))
