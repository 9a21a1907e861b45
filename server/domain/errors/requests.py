"""A request that is wrong in itself, or comes from somebody who may not make it."""

from collections.abc import Mapping

from server.domain.errors.kinds import InvalidArgumentError, PermissionDeniedError, UnauthenticatedError


class MalformedRequestError(InvalidArgumentError):
    """What was sent is no message of the kind that the method takes."""

    reason = "MALFORMED_REQUEST"

    def __init__(self) -> None:
        super().__init__(
            "The request cannot be read: it is no message of the kind that this method takes. Make it with code that "
            "is generated from the contract, keystead.v1."
        )


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


class ChecksumMismatchError(InvalidArgumentError):
    """Bytes of a request are not those that their checksum was made of; says nothing of either."""

    reason = "CHECKSUM_MISMATCH"

    def __init__(self, field: str) -> None:
        super().__init__(
            f"{field} does not have the checksum that came with it, so it was damaged on its way. Make the checksum of "
            "the bytes that you have, as CRC32C, and send both again."
        )
        self._field = field

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the field's name."""
        return {"field": self._field}


class RequestIdReusedError(InvalidArgumentError):
    """The request_id was used by the same caller for another request."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__("This request_id was used for another request. Take a new UUID for each new request.")


class NoIdentityError(UnauthenticatedError):
    """Neither a certificate nor a bearer token says who is calling."""

    reason = "NO_IDENTITY"

    def __init__(self) -> None:
        super().__init__(
            "Nobody is named. A client certificate must carry exactly one URI as subject alternative name, and not one "
            "that begins with oidc:. Without a certificate, a bearer token must stand in the metadata authorization."
        )


class AmbiguousIdentityError(UnauthenticatedError):
    """A certificate names one caller and a bearer token another, and only a console may speak for people."""

    reason = "AMBIGUOUS_IDENTITY"

    def __init__(self) -> None:
        super().__init__(
            "The call has a client certificate and a bearer token. Only a certificate with the role console may pass a "
            "person's token on: leave one of the two out."
        )


class BearerTokenRejectedError(UnauthenticatedError):
    """A bearer token proves nobody. It never says why: the log does."""

    reason = "BEARER_TOKEN_REJECTED"

    def __init__(self) -> None:
        super().__init__(
            "The bearer token was not accepted. It must come from a configured issuer, be meant for Keystead, be good "
            "at this moment, and be signed by one of the issuer's present keys; and there must be one only."
        )


class BearerTokenExpiredError(UnauthenticatedError):
    """A bearer token was good, and its time is over."""

    reason = "BEARER_TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("The bearer token has expired. Sign in again.")


class ForbiddenError(PermissionDeniedError):
    """The caller may not do this to that organisation, or it does not exist: these look alike."""

    reason = "FORBIDDEN"

    def __init__(self) -> None:
        super().__init__("The caller may not do this. Ask the operator for a grant in the policy file.")
