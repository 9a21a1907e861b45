"""Callers with certificates of any making, and bearer tokens."""

import os
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.cli.dev_pki import DevelopmentCa
from tests.support.service import Client, Service


def client_with(service: Service, *, address: str = "", token: str = "", **files: bytes) -> Client:
    """Return a client with a connection of its own.

    Args:
        service: the service.
        address: another one than that for certificates.
        token: goes with every call, if there is one.
        files: some of those of gRPC's credentials.
    """
    credentials = grpc.ssl_channel_credentials((service.folder / "pki/ca.pem").read_bytes(), **files)
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    options = (("grpc.use_local_subchannel_pool", 1),)
    return Client(grpc.secure_channel(address or service.address, credentials, options))


def stranger(service: Service, *uris: str, authority: DevelopmentCa | None = None, **more: str) -> Client:
    """Return a client whose certificate has these URIs; `more` is as in `client_with`."""
    authority = authority or DevelopmentCa(service.folder / "pki")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    name = f"stranger-{os.urandom(4).hex()}"
    alternatives = x509.SubjectAlternativeName(names or [x509.DNSName("nobody.example")])
    certificate, key = authority.issue(name, alternatives, ExtendedKeyUsageOID.CLIENT_AUTH)
    return client_with(service, private_key=key.read_bytes(), certificate_chain=certificate.read_bytes(), **more)


def grant(service: Service, uri: str, role: str, *organizations: str, person: str = "") -> None:
    """Let an identity, perhaps that of a person, do what a role, of these organisations if it names some, may."""
    policy = service.folder / "policy.toml"
    text = f'\n[[grants]]\nidentity = "{uri}"\nrole = "{role}"\norganizations = {list(organizations)}\n'
    text += f'person = "{person}"\n' * bool(person)
    _write(policy, policy.read_text() + text)


def grant_people(service: Service, issuer: str, value: str, role: str, *organizations: str) -> None:
    """Let people whose groups have this one do what a role may."""
    policy = service.folder / "policy.toml"
    said = f'issuer = "{issuer}"\nclaim = "groups"\nvalue = "{value}"\n'
    text = f'\n[[people]]\n{said}role = "{role}"\norganizations = {list(organizations)}\n'
    _write(policy, policy.read_text() + text)


def withdraw_people(service: Service, value: str) -> None:
    """Take back what people of this group may do."""
    policy = service.folder / "policy.toml"
    policy_text = policy.read_text()
    assert f'value = "{value}"' in policy_text
    _write(policy, policy_text.replace(f'value = "{value}"', 'value = "nobody has this"'))


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
