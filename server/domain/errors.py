"""Everything that can go wrong, as one tree.

The second level says what kind of fault it is, and alone decides the gRPC code (one table in grpc_api). A leaf's
`reason` is what a program reads, its message what a person reads. Messages carry ids and rules, never key material, and
say what to do next. Leaves are raised; the levels above them are only caught.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar


class KeysteadError(Exception):
    """A fault that a caller is told about.

    Attributes:
        reason: UPPER_SNAKE_CASE, stable.
        metadata: further facts for programs: ids and states only.
        retry_after: when a repeat makes sense; None when it does not.
    """

    reason: ClassVar[str]
    retry_after: ClassVar[timedelta | None] = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return further facts for programs."""
        return {}


class InvalidArgumentError(KeysteadError):
    """The request is wrong, whatever the state of the system."""


class UnauthenticatedError(KeysteadError):
    """The caller did not say who it is."""


class PermissionDeniedError(KeysteadError):
    """The caller may not do this."""


class NotFoundError(KeysteadError):
    """What the request names does not exist."""


class AlreadyExistsError(KeysteadError):
    """What the request would make exists."""


class FailedPreconditionError(KeysteadError):
    """The request is not possible in the present state."""


class AbortedError(KeysteadError):
    """Another request was faster; a repeat from the start makes sense."""


class ExhaustedError(KeysteadError):
    """A resource is used up for now."""


class UnavailableError(KeysteadError):
    """Something we need does not answer; nothing was changed, or what was begun is finished or undone by itself."""


class DataLossError(KeysteadError):
    """What we stored is not what we stored."""


# Invalid arguments.


class MalformedNameError(InvalidArgumentError):
    """A name or an id has not the form it must have."""

    reason = "MALFORMED_NAME"

    def __init__(self, field: str, form: str) -> None:
        super().__init__(f"The {field} is malformed. Its form: {form}.")


class InvalidFieldError(InvalidArgumentError):
    """A field is out of its limits."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}.")
        self._field = field

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the field's name."""
        return {"field": self._field}


class EncryptedKeyRejectedError(InvalidArgumentError):
    """An upload is not 32 bytes under this wrapping key. It never says more: an oracle would answer attackers too."""

    reason = "ENCRYPTED_KEY_REJECTED"

    def __init__(self) -> None:
        super().__init__(
            "The encrypted key was not accepted. It must be exactly 32 random bytes, encrypted under this wrapping key "
            "with RSA-OAEP, SHA-256 and MGF1 with SHA-256. Run the wrapping key's OpenSSL commands again and upload "
            "the result."
        )


class WrappedKeyRejectedError(InvalidArgumentError):
    """A wrapped content key cannot be unwrapped: changed, cut, foreign or with another context; never says which."""

    reason = "WRAPPED_KEY_REJECTED"

    def __init__(self) -> None:
        super().__init__(
            "The wrapped content key was not accepted: it was changed, it belongs to another organization, or the "
            "context is not the one it was wrapped with."
        )


# Callers.


class NoIdentityError(UnauthenticatedError):
    """The client certificate names nobody the policy knows how to name."""

    reason = "NO_IDENTITY"

    def __init__(self) -> None:
        super().__init__("The client certificate must carry exactly one URI as subject alternative name.")


class ForbiddenError(PermissionDeniedError):
    """The caller may not do this to that organisation, or it does not exist: these look alike."""

    reason = "FORBIDDEN"

    def __init__(self) -> None:
        super().__init__("The caller may not do this. Ask the operator for a grant in the policy file.")


# Existence.


class ResourceNotFoundError(NotFoundError):
    """The named resource does not exist."""

    reason = "NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist.")


class OrganizationExistsError(AlreadyExistsError):
    """An organisation of this id exists."""

    reason = "ORGANIZATION_EXISTS"

    def __init__(self) -> None:
        super().__init__("An organization of this id exists. Choose another id.")


class DuplicateKeyError(AlreadyExistsError):
    """The value of an upload is, or was, a main key of the organisation."""

    reason = "DUPLICATE_KEY"

    def __init__(self, name: str) -> None:
        super().__init__(f"This value is already known as {name}. Make a new key; nothing was changed.")
        self._name = name

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the name of the key that has this value."""
        return {"main_key": self._name}


# State.


class IllegalTransitionError(FailedPreconditionError):
    """The state of a main key does not allow this move."""

    reason = "ILLEGAL_TRANSITION"

    def __init__(self, action: str, state: str, next_moves: Sequence[str]) -> None:
        allowed = ", ".join(next_moves) or "none"
        super().__init__(f"A main key in state {state} cannot do {action}. Moves possible now: {allowed}.")
        self.state = state
        self.next_moves = tuple(next_moves)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the state and the moves it allows."""
        return {"state": self.state, "next_moves": ",".join(self.next_moves)}


class OrganizationLockedError(FailedPreconditionError):
    """The main key in charge is REVOKED, DELETED or REMOVED."""

    reason = "ORGANIZATION_LOCKED"

    def __init__(self, main_key: str, state: str) -> None:
        super().__init__(f"The organization is locked: its main key {main_key} is {state}. An administrator must act.")
        self._facts = {"main_key": main_key, "state": state}

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the main key in charge and its state."""
        return self._facts


class WrappingKeyNotUsableError(FailedPreconditionError):
    """The wrapping key of an upload is used, expired, spent or unknown."""

    reason = "WRAPPING_KEY_NOT_USABLE"

    def __init__(self) -> None:
        super().__init__(
            "This wrapping key cannot be used (any more): it was used, it expired, or five uploads failed. "
            "Download a new one and encrypt the key under it."
        )


class PendingKeyExistsError(FailedPreconditionError):
    """The organisation has a PENDING main key, and may have only one."""

    reason = "PENDING_KEY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is PENDING, and only one main key may be. Activate it first.")
        self._name = name

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the PENDING key's name."""
        return {"main_key": self._name}


class WeakKeyError(FailedPreconditionError):
    """The uploaded key is 32 zero bytes."""

    reason = "WEAK_KEY"

    def __init__(self) -> None:
        super().__init__("The uploaded key is 32 zero bytes. Make 32 random bytes: openssl rand -out main_key.bin 32.")


class FingerprintMismatchError(FailedPreconditionError):
    """The uploaded key has not the fingerprint that the caller expects."""

    reason = "FINGERPRINT_MISMATCH"

    def __init__(self) -> None:
        super().__init__("The uploaded key has another fingerprint than expected_fingerprint. Upload the right key.")


class KekExhaustedError(FailedPreconditionError):
    """A KEK has no encryptions left."""

    reason = "KEK_EXHAUSTED"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has reached its limit of encryptions. Create another KEK; what it wrapped still unwraps."
        )


class ConcurrentChangeError(AbortedError):
    """Another request changed the same thing meanwhile."""

    reason = "CONCURRENT_CHANGE"
    retry_after = timedelta(milliseconds=100)

    def __init__(self) -> None:
        super().__init__("Another request changed this meanwhile. Read the present state and try again.")


# Outages and damage.


class TokenUnavailableError(UnavailableError):
    """The HSM does not answer, or answers that it cannot."""

    reason = "TOKEN_UNAVAILABLE"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__(
            "The HSM does not answer now. Try again; if it lasts, the operator should read the service's log."
        )


class TokenExhaustedError(ExhaustedError):
    """The token has no room, or no free session in time."""

    reason = "TOKEN_EXHAUSTED"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__("The HSM is at its capacity now. Try again later.")


class StorageUnavailableError(UnavailableError):
    """The database does not answer."""

    reason = "STORAGE_UNAVAILABLE"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__("The database does not answer now. Try again; if it lasts, the operator should read the log.")


class MainKeyMissingError(UnavailableError):
    """The row of a main key says it is in the token, and the token says it is not."""

    reason = "MAIN_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "The main key is missing in the HSM. The operator must restore the token; no data was changed."
        )


class WrappingKeyDamagedError(DataLossError):
    """The stored public half of a wrapping key is not that of the pair in the token."""

    reason = "WRAPPING_KEY_DAMAGED"

    def __init__(self) -> None:
        super().__init__("The wrapping key as stored is not the HSM's. Do not encrypt under it; tell the operator.")


class KekRejectedError(DataLossError):
    """A KEK does not unwrap under its main key, or is bound to another place; the use case says which KEK."""

    reason = "KEK_DAMAGED"

    def __init__(self) -> None:
        super().__init__("A KEK as stored is not the key it should be. The operator must restore the database.")


class KekDamagedError(DataLossError):
    """A stored KEK does not unwrap, or is not the KEK that its row says."""

    reason = "KEK_DAMAGED"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} as stored is not the key it should be. The operator must restore the database.")
