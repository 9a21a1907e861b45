"""When the certificates in use run out."""

from pathlib import Path

from cryptography import x509

from server.observability.catalogue import CERTIFICATE_EXPIRY
from server.observability.samples import Samples, Source


def expiries(**files: Path) -> Source:
    """Return what tells when the first certificate in each PEM file runs out, as the files are now.

    Raises:
        OSError, ValueError: a file cannot be read, or holds no certificate.
    """
    moments: Samples = {
        CERTIFICATE_EXPIRY.name: {
            (name,): min(
                it.not_valid_after_utc.timestamp() for it in x509.load_pem_x509_certificates(file.read_bytes())
            )
            for name, file in files.items()
        }
    }
    return lambda: moments
