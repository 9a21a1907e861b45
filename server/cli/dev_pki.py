"""The development authority: a CA, the server's certificate and the clients', in one folder."""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_LIFETIME = timedelta(days=3650)
_LIFETIME = timedelta(days=825)
_SKEW = timedelta(minutes=5)


class DevelopmentCa:
    """A certificate authority for one machine."""

    def __init__(self, folder: Path) -> None:
        self.certificate_file = folder / "ca.pem"
        self._key_file = folder / "ca.key"
        self._folder = folder

    def ensure(self) -> None:
        """Make the CA and the server's certificate unless they are there."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.certificate_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("Keystead development CA")
            certificate = (
                _builder(name, name, key.public_key(), _CA_LIFETIME)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            write_whole(self._key_file, _private_pem(key), 0o600)
            write_whole(self.certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)
        self.issue("server", _server_names(), ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_client(self, name: str, identity: str) -> tuple[Path, Path]:
        """Return the files of a client's certificate and key, made unless they are there."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        return self.issue(name, names, ExtendedKeyUsageOID.CLIENT_AUTH)

    def issue(self, name: str, names: x509.SubjectAlternativeName, usage: x509.ObjectIdentifier) -> tuple[Path, Path]:
        """Return the files of a certificate and its key, made unless they are there."""
        certificate_file, key_file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        if not certificate_file.exists():
            authority = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            signer = load_pem_private_key(self._key_file.read_bytes(), password=None)
            if not isinstance(signer, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{self._key_file} is not a key of ours")
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = (
                _builder(_name(name), authority.subject, key.public_key(), _LIFETIME)
                .add_extension(names, critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_key_usage(signs_certificates=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
                .sign(signer, hashes.SHA256())
            )
            write_whole(key_file, _private_pem(key), 0o600)
            write_whole(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)
        return certificate_file, key_file


def _server_names() -> x509.SubjectAlternativeName:
    addresses = [x509.IPAddress(ipaddress.ip_address(it)) for it in ("127.0.0.1", "::1")]
    return x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses])


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file, or put it in the place of another, so that nobody ever sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:  # noqa: PTH123 - a mode
        file.write(content)
    temporary.replace(path)
