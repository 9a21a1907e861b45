"""Something that we need does not answer, or is not what we stored."""

from datetime import timedelta

from server.domain.errors.kinds import DataLossError, ExhaustedError, TooLateError, UnavailableError


class TokenUnavailableError(UnavailableError):
    """The HSM does not answer, or answers that it cannot."""

    reason = "TOKEN_UNAVAILABLE"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__(
            "The HSM does not answer now. Try again; if it lasts, the operator should read the service's log."
        )


class AuditUnavailableError(UnavailableError):
    """The use of content keys cannot be recorded, so none is handed out."""

    reason = "AUDIT_UNAVAILABLE"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__(
            "What is done with content keys cannot be recorded now, so nothing is. Try again; if it lasts, the "
            "operator should read the log."
        )


class TokenHangsError(UnavailableError):
    """A call to the HSM does not return, so nothing else is asked of it."""

    reason = "TOKEN_HANGS"
    retry_after = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__(
            "A call to the HSM does not return, so this process asks it nothing else. Try again: it goes on when the "
            "call returns, or is replaced."
        )


class TokenExhaustedError(ExhaustedError):
    """The token has no room, or no free session in time."""

    reason = "TOKEN_EXHAUSTED"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__("The HSM is at its capacity now. Try again later.")


class OverloadedError(ExhaustedError):
    """More calls that need the token wait for their turn than may."""

    reason = "OVERLOADED"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__("More content keys are asked for than can be served now. Try again later.")


class CallerGoneError(TooLateError):
    """The caller's deadline has passed, or it has hung up."""

    reason = "CALLER_GONE"

    def __init__(self) -> None:
        super().__init__("The call's deadline has passed, or the caller has hung up: what was left was not begun.")


class TooManyWatchersError(ExhaustedError):
    """As many streams are open as may be."""

    reason = "TOO_MANY_WATCHERS"
    retry_after = timedelta(seconds=10)

    def __init__(self) -> None:
        super().__init__("Too many streams are open now. Ask again and again instead, or try later.")


class ServiceStoppingError(UnavailableError):
    """The process that answers is about to end."""

    reason = "SERVICE_STOPPING"
    retry_after = timedelta(seconds=1)

    def __init__(self) -> None:
        super().__init__("This process of the service is stopping. Ask again: another one answers.")


class IssuerUnavailableError(UnavailableError):
    """The keys of a bearer token's issuer are not known at the moment."""

    reason = "ISSUER_UNAVAILABLE"
    retry_after = timedelta(seconds=2)

    def __init__(self) -> None:
        super().__init__(
            "The keys of the bearer token's issuer are being read, or cannot be read now. Try again; if it lasts, the "
            "operator should read the service's log."
        )


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


class StateDamagedError(DataLossError):
    """A row says something else than the audit log about how a key, a rule or an approval stands."""

    reason = "STATE_DAMAGED"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"What is stored of {name} is not what the audit log tells of it. The operator must restore the database."
        )
