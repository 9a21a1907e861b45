"""Who is calling: the one URI in the client's certificate, which gRPC has verified."""

from functools import lru_cache

import grpc
from cryptography import x509

from server.domain.errors import NoIdentityError


def identity_of(context: grpc.ServicerContext) -> str:
    """Return the caller's identity.

    Raises:
        NoIdentityError: the certificate has not exactly one URI as subject alternative name.
    """
    certificates = context.auth_context().get("x509_pem_cert") or ()
    if len(certificates) != 1:
        raise NoIdentityError
    return _uri(certificates[0])


@lru_cache(maxsize=1024)
def _uri(certificate: bytes) -> str:
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise NoIdentityError from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise NoIdentityError
    return uris[0]
