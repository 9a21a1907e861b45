"""What a call says of who is calling: the one URI in the client's certificate, which gRPC has verified, and a token."""

import re
from functools import lru_cache

import grpc
from cryptography import x509

from server.domain.errors import BearerTokenRejectedError, NoIdentityError
from server.people.person import PERSON_PREFIX

_HEADER = "authorization"
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE | re.ASCII)


def certificate_identity(context: grpc.ServicerContext) -> str | None:
    """Return whom the certificate names; None if the connection has none, since its port asks for none.

    Raises:
        NoIdentityError: it has not exactly one URI as subject alternative name, or one that could name a person.
    """
    certificates = context.auth_context().get("x509_pem_cert")
    return _uri(*certificates) if certificates else None


@lru_cache(maxsize=1024)
def _uri(certificate: bytes) -> str:
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise NoIdentityError from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or uris[0].lower().startswith(PERSON_PREFIX):
        raise NoIdentityError
    return uris[0]


def bearer_token(context: grpc.ServicerContext) -> str | None:
    """Return the bearer token of a call, unexamined; None if it has none.

    Raises:
        BearerTokenRejectedError: it has several, or authorizes itself in another way.
    """
    given = [value for key, value in context.invocation_metadata() if key == _HEADER]
    if not given:
        return None
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 and isinstance(given[0], str) else None
    if match is None:
        raise BearerTokenRejectedError
    return match[1]
