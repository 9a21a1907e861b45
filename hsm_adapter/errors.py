"""What the adapter raises. Messages name ids, functions and return values; never a key's value or the PIN."""

from typing import ClassVar


class HsmError(Exception):
    """The token did not do what it was asked for.

    Attributes:
        reason: UPPER_SNAKE_CASE, stable.
    """

    reason: ClassVar[str] = "HSM_ERROR"


class RejectedInputError(HsmError):
    """The token is well, and refuses what it was given: a wrapped key or a ciphertext."""

    reason = "REJECTED_INPUT"


class KekRejectedError(HsmError):
    """The token is well, and a KEK does not unwrap under its main key."""

    reason = "KEK_REJECTED"


class KekBindingError(KekRejectedError):
    """A KEK unwraps, but its binding says that it belongs elsewhere."""

    reason = "KEK_BINDING"


class ObjectMissingError(HsmError):
    """The token has no such object; that the user is logged in was made sure of."""

    reason = "OBJECT_MISSING"


class HsmUnavailableError(HsmError):
    """The token does not answer, or answers that it cannot. Trying again later makes sense."""

    reason = "HSM_UNAVAILABLE"


class HsmHangsError(HsmUnavailableError):
    """A call into the library does not return, so nothing else is sent into it."""

    reason = "HSM_HANGS"


class ModuleMissingError(HsmUnavailableError):
    """The file is not there, or is no PKCS#11 module."""

    reason = "MODULE_MISSING"


class TokenMissingError(HsmUnavailableError):
    """The module shows no token of this label or serial number, or several."""

    reason = "TOKEN_MISSING"


class HsmAuthenticationError(HsmError):
    """The token refuses the PIN. It is not tried again before the PIN file changes, since tokens lock."""

    reason = "HSM_AUTHENTICATION"


class HsmCapacityError(HsmError):
    """The token, or our pool, has no room for more sessions or objects now."""

    reason = "HSM_CAPACITY"


class HsmPolicyError(HsmError):
    """The token refuses something that we are right to ask, or made an object other than as asked."""

    reason = "HSM_POLICY"


class KeyNotTrustedError(HsmError):
    """A main key may not wrap KEKs: the token's security officer has not marked it."""

    reason = "KEY_NOT_TRUSTED"


class HsmReadOnlyError(HsmError):
    """The token takes no changes."""

    reason = "HSM_READ_ONLY"
