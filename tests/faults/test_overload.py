"""More is asked than the token can do: what is refused, what is served all the same, and what is not begun any more."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import grpc
import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations

from tests.faults.conftest import shimmed_service
from tests.support.service import eventually, refusal_of

pytestmark = pytest.mark.slow

QUICK = 5.0
"""Seconds within which others than services are answered, whatever services ask for."""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, shim_library):
    """A service with one place for content-key calls, and one more that may wait."""
    folder = tmp_path_factory.mktemp("narrow")
    with shimmed_service(folder, shim_library, HSM__SESSIONS="2", SERVER__QUEUE="1") as narrow:
        yield narrow


@pytest.fixture
def shim(narrow):
    yield narrow[1]
    narrow[1].release()


@pytest.fixture
def org(narrow):
    return narrow[0].new_organization()


def generate(org, kek: str, count: int = 1, timeout: float = 60):
    request = content_keys.GenerateContentKeysRequest(kek=kek, count=count)
    return org.user.content_keys.GenerateContentKeys(request, timeout=timeout)


def refusal(org, kek: str, timeout: float = 0.3):
    """Return why a call is refused, or None if it is not."""
    try:
        generate(org, kek, timeout=timeout)
    except grpc.RpcError as error:
        return refusal_of(error)
    return None


def given_up(org, kek: str):
    """Return why a call that has found a place to wait in is refused."""
    return eventually(lambda: (it := refusal(org, kek, 3.0)) and it.reason != "OVERLOADED" and it, "it waits")


def others_are_served(org) -> None:
    service = org.service
    assert service.serves()
    service.client("operator").organizations.ListOrganizations(
        organizations.ListOrganizationsRequest(page_size=1), timeout=QUICK
    )
    org.admin.main_keys.ListMainKeys(main_keys.ListMainKeysRequest(parent=org.name), timeout=QUICK)


def test_when_no_place_is_left_a_call_is_refused_at_once_and_others_are_served(org, shim):
    kek = org.new_kek().name
    with ThreadPoolExecutor(2) as threads:
        shim.hang("C_Encrypt")
        held = threads.submit(generate, org, kek)
        eventually(shim.used_up, "a call is in the token")
        before = shim.count("C_Encrypt")
        waits = threads.submit(given_up, org, kek)
        told = eventually(lambda: (it := refusal(org, kek)) and it.reason == "OVERLOADED" and it, "the queue is full")
        assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert told.details == ("ErrorInfo", "RetryInfo")
        others_are_served(org)
        org.admin.main_keys.GetWrappingKey(main_keys.GetWrappingKeyRequest(parent=org.name))
        assert waits.result().code is grpc.StatusCode.DEADLINE_EXCEEDED
        shim.release()
        assert len(held.result().content_keys) == 1
    generate(org, kek)
    # That of the last call: what had waited for longer than its caller was not begun.
    assert shim.count("C_Encrypt") == before + 1


def test_a_batch_whose_caller_is_gone_is_not_finished(org, shim):
    kek = org.new_kek().name
    shim.hang("C_Encrypt")
    with ThreadPoolExecutor(1) as threads:
        batch = threads.submit(generate, org, kek, 500, 1.0)
        eventually(shim.used_up, "the first item is in the token")
        before = shim.count("C_Encrypt")
        assert batch.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    shim.release()
    generate(org, kek)
    assert shim.count("C_Encrypt") == before + 1


def test_under_a_flood_some_are_served_the_rest_refused_and_others_do_not_notice(org):
    kek = org.new_kek().name
    ended = threading.Event()
    outcomes: list[str] = []

    def flood() -> None:
        while not ended.is_set():
            told = refusal(org, kek, timeout=20)
            outcomes.append(told.reason if told else "")

    with ThreadPoolExecutor(24) as threads:
        callers = [threads.submit(flood) for _ in range(24)]
        try:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                others_are_served(org)
        finally:
            ended.set()
        wait(callers)
    assert set(outcomes) == {"", "OVERLOADED"}
    assert min(outcomes.count(it) for it in ("", "OVERLOADED")) > 20
