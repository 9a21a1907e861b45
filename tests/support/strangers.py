"""Callers with certificates of any making."""

import os
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.cli.dev_pki import DevelopmentCa
from tests.support.service import Client, Service


def client_with(service: Service, **files: bytes) -> Client:
    """Return a client with these of the files of gRPC's credentials, and a connection of its own."""
    credentials = grpc.ssl_channel_credentials((service.folder / "pki/ca.pem").read_bytes(), **files)
    return Client(grpc.secure_channel(service.address, credentials, (("grpc.use_local_subchannel_pool", 1),)))


def stranger(service: Service, *uris: str, authority: DevelopmentCa | None = None) -> Client:
    """Return a client whose certificate has these URIs."""
    authority = authority or DevelopmentCa(service.folder / "pki")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    name = f"stranger-{os.urandom(4).hex()}"
    alternatives = x509.SubjectAlternativeName(names or [x509.DNSName("nobody.example")])
    certificate, key = authority.issue(name, alternatives, ExtendedKeyUsageOID.CLIENT_AUTH)
    return client_with(service, private_key=key.read_bytes(), certificate_chain=certificate.read_bytes())


def grant(service: Service, uri: str, role: str, *organizations: str) -> None:
    """Let an identity do what a role, of these organisations if it names some, may."""
    policy = service.folder / "policy.toml"
    text = f'\n[[grants]]\nidentity = "{uri}"\nrole = "{role}"\norganizations = {list(organizations)}\n'
    _write(policy, policy.read_text() + text)


def withdraw(service: Service, uri: str) -> None:
    """Take every grant of an identity back."""
    policy = service.folder / "policy.toml"
    head, *grants = policy.read_text().split("\n[[grants]]\n")
    kept = [it for it in grants if f'identity = "{uri}"\n' not in it]
    assert len(kept) < len(grants)
    _write(policy, "\n[[grants]]\n".join([head, *kept]))


def _write(policy: Path, text: str) -> None:
    """Replace the file at once: it is read whenever it changes."""
    new = policy.with_suffix(".new")
    new.write_text(text)
    new.replace(policy)
