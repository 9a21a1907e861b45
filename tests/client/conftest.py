"""A service of this room's own: its leases are short, and it is overloaded soon."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from keystead.client import Client, Item

from tests.support.kept_keys import CONTEXT, activate
from tests.support.relay import Relay, relay
from tests.support.service import Organization, Service, running


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Service]:
    settings = {"SERVER__WORKERS": "2", "LIFE__REVOCATION_BOUND": "PT2S", "HSM__SESSIONS": "3", "SERVER__QUEUE": "2"}
    with running(tmp_path_factory.mktemp("service"), **settings) as service:
        yield service


@pytest.fixture(scope="module")
def org(service) -> Organization:
    return service.new_organization()


@pytest.fixture(scope="module")
def brought(org) -> str:
    return org.bring().name


@pytest.fixture
def active(org, brought) -> Iterator[str]:
    """The name of the main key; whatever a test does, it is ACTIVE again afterwards."""
    yield brought
    if org.states()[brought] == "REVOKED":
        activate(org, brought)


@pytest.fixture(scope="module")
def kek(org, brought) -> str:
    return org.new_kek().name


@pytest.fixture
def items(org, kek) -> list[Item]:
    return [Item(key.wrapped, CONTEXT) for key in org.generate(kek, 3, **CONTEXT)]


@pytest.fixture
def line(service, org) -> Iterator[Relay]:
    """What the organisation's service may call in place of Keystead; it passes calls on, and counts them."""
    with relay(service, f"service:{org.id}") as line:
        yield line


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
