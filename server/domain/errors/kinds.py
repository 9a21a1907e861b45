"""What kind of fault an error is; this alone decides the gRPC code."""

from collections.abc import Mapping
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


class TooLateError(KeysteadError):
    """Nobody waits for the answer any more."""


class UnavailableError(KeysteadError):
    """Something we need does not answer; nothing was changed, or what was begun is finished or undone by itself."""


class DataLossError(KeysteadError):
    """What we stored is not what we stored."""
