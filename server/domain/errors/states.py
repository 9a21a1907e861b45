"""A request that is not possible as things are."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from server.domain.errors.kinds import AbortedError, AlreadyExistsError, FailedPreconditionError, NotFoundError


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


class ApprovalRequiredError(FailedPreconditionError):
    """The organisation's rule wants other administrators to approve this very act first."""

    reason = "APPROVAL_REQUIRED"

    def __init__(self, act: str, target: str, etag: str, missing: int) -> None:
        super().__init__(
            f"The organization's rule wants others to approve {act} of {target} first; approvals missing: {missing}."
        )
        self._facts = {"action": act, "target": target, "etag": etag, "missing": str(missing)}

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the act, its target with the present etag, and how many approvals are missing."""
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
        super().__init__(f"{name} is PENDING, and only one main key may be. Activate or delete it first.")
        self._name = name

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the PENDING key's name."""
        return {"main_key": self._name}


class DeletedKeyExistsError(FailedPreconditionError):
    """Another key that was PENDING is DELETED, and only one may be."""

    reason = "DELETED_KEY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}, which was PENDING too, is DELETED, and only one such key may be. Let this one stay PENDING, or "
            "activate it; or wait until the other is removed."
        )
        self._name = name

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the DELETED key's name."""
        return {"main_key": self._name}


class ByokDisabledError(FailedPreconditionError):
    """BYOK is disabled for the organisation."""

    reason = "BYOK_DISABLED"

    def __init__(self) -> None:
        super().__init__("BYOK is disabled for this organization. Enable it, then activate the key.")


class MainKeyNotTrustedError(FailedPreconditionError):
    """The service runs in the trust mode `trusted`, and the HSM's security officer has not marked the main key."""

    reason = "MAIN_KEY_NOT_TRUSTED"

    def __init__(self) -> None:
        super().__init__(
            "In this service a main key wraps KEKs only when the HSM's security officer has marked it as trusted. "
            "Import it to be activated later, have the officer mark it, then activate it."
        )


class RecoveryKeyRequiredError(FailedPreconditionError):
    """The organisation is locked, and only the very key that locks it brings it back."""

    reason = "RECOVERY_KEY_REQUIRED"

    def __init__(self, name: str, fingerprint: bytes) -> None:
        super().__init__(
            f"The organization is locked: its main key {name} was removed from the HSM. Only the same key brings it "
            f"back: import the backup whose fingerprint is {fingerprint.hex()}."
        )
        self._facts = {"main_key": name, "fingerprint": fingerprint.hex()}

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the main key's name and its fingerprint in hexadecimal."""
        return self._facts


class RotationFinishedError(FailedPreconditionError):
    """A rotation that has ended cannot be paused or resumed."""

    reason = "ROTATION_FINISHED"

    def __init__(self, state: str) -> None:
        super().__init__(f"This rotation has ended: it is {state}.")
        self.state = state

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the rotation's state."""
        return {"state": self.state}


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


class ConcurrentChangeError(AbortedError):
    """Another request changed the same thing meanwhile."""

    reason = "CONCURRENT_CHANGE"
    retry_after = timedelta(milliseconds=100)

    def __init__(self) -> None:
        super().__init__("Another request changed this meanwhile. Read the present state and try again.")


class StaleEtagError(AbortedError):
    """What the caller has seen is not the present state: somebody changed it meanwhile."""

    reason = "STALE_ETAG"

    def __init__(self, present: Mapping[str, str]) -> None:
        told = ", ".join(f"{name} {value}" for name, value in present.items() if value)
        super().__init__(f"It was changed meanwhile. Now: {told}. Look at it again before you change it.")
        self._present = present

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the present state and etag."""
        return self._present
