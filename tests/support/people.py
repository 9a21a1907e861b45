"""A service that believes the tokens of a real provider, and people who have some."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from keystead.v1 import organization_service_pb2 as organizations

from tests.support.collector import collecting
from tests.support.oidc_provider import AUDIENCE, Provider, provider
from tests.support.service import free_port, refusal_of, running
from tests.support.strangers import client_with, grant, grant_people

CONSOLE = "spiffe://keystead.dev/console"
SHORT = 3
"""Seconds for which keys are used that could not be read again."""


class World:
    """A service that believes a provider."""

    def __init__(self, service, issuer: Provider, address: str, collector) -> None:
        self.service, self.issuer, self.address, self.collector = service, issuer, address, collector
        self.own, self.foreign = service.new_organization("own"), service.new_organization("foreign")
        self.tokens: list[str] = []
        grant_people(service, issuer.url, "admins", "administrator", self.own.id)
        grant_people(service, issuer.url, "auditors", "auditor", self.own.id)
        grant_people(service, "https://other.example.com", "strangers", "administrator", self.own.id)
        grant(service, CONSOLE, "console")

    def token(self, *groups: str, **claims) -> str:
        self.tokens.append(self.issuer.token(groups=list(groups), **claims))
        return self.tokens[-1]

    def person(self, token: str = ""):
        """Somebody at the port for people."""
        return client_with(self.service, address=self.address, token=token)

    def ask(self, client, **metadata):
        """Ask for what every role but the console may see."""
        asked = organizations.GetOrganizationRequest(name=self.own.name)
        return client.organizations.GetOrganization(asked, timeout=20, **metadata)

    def refusal(self, *authorizations: str):
        """Return how a call with these headers ends, and every byte that is told."""
        metadata = [("authorization", it) for it in authorizations] + [("x-request-id", "people")]
        with pytest.raises(grpc.RpcError) as caught:
            self.ask(self.person(), metadata=metadata)
        return refusal_of(caught.value), [
            (key, value) for key, value in caught.value.trailing_metadata() if "-bin" in key
        ]


@contextmanager
def believing(folder: Path) -> Iterator[World]:
    """Have a service that believes a provider, for a block."""
    address = f"127.0.0.1:{free_port()}"
    with provider() as issuer, collecting() as collector:
        told = {"issuer": issuer.url, "audience": AUDIENCE, "jwks_url": issuer.discovered["jwks_uri"]}
        settings = {
            "SERVER__WORKERS": "1",
            "SERVER__PEOPLE_ADDRESS": address,
            "PEOPLE__ISSUERS": json.dumps([{**told, "algorithms": ["RS256", "ES256", "PS256"]}]),
            "PEOPLE__CLOCK_SKEW": "PT0S",
            "PEOPLE__KEYS_REFRESH": "PT1S",
            "PEOPLE__KEYS_LIFETIME": f"PT{SHORT}S",
            "TRACING__ENDPOINT": collector.endpoint,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
            with running(folder, **settings) as service:
                yield World(service, issuer, address, collector)
