"""A service of this room's own: its leases are short, and it is overloaded soon."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from keystead.client import Client

from tests.support.service import Organization, Service, running


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Service]:
    settings = {"SERVER__WORKERS": "2", "LIFE__REVOCATION_BOUND": "PT2S", "HSM__SESSIONS": "3", "SERVER__QUEUE": "2"}
    with running(tmp_path_factory.mktemp("service"), **settings) as service:
        yield service


@pytest.fixture
def org(service) -> Organization:
    return service.new_organization()


@pytest.fixture
def connect(service) -> Iterator[Callable[..., Client]]:
    """Make clients of an organisation's service, perhaps by another address; they are closed in the end."""
    with ExitStack() as kept:

        def connect(org: Organization, address: str = "", **options) -> Client:
            files = service.identity(f"service:{org.id}")
            return kept.enter_context(
                Client(
                    address or service.address,
                    authority=files["KEYSTEAD_CA"],
                    certificate=files["KEYSTEAD_CERT"],
                    key=files["KEYSTEAD_KEY"],
                    **options,
                )
            )

        yield connect
