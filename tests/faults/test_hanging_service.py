"""A service whose token hangs: what callers are told, and how its processes are replaced."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from keystead.v1 import organization_service_pb2 as organizations

from tests.faults.conftest import shimmed_service
from tests.support.service import eventually, refused

pytestmark = pytest.mark.slow


def logged(service, event: str) -> list[dict[str, object]]:
    lines = (json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


@pytest.fixture
def hanging(tmp_path, shim_library):
    with shimmed_service(tmp_path, shim_library, HSM__HANG_WARNING="PT0.5S", HSM__HANG_LIMIT="PT5S") as hanging:
        yield hanging


def test_a_token_that_hangs_is_told_at_once_and_its_processes_are_replaced(hanging):
    service, shim = hanging
    org = service.new_organization()
    kek = org.new_kek().name
    (worker,) = service.pids("worker")

    with ThreadPoolExecutor(1) as threads:
        shim.hang("C_GenerateRandom")
        stuck = threads.submit(org.generate, kek)
        eventually(lambda: logged(service, "token_hangs"), "the hanging call is noticed")
        with refused("UNAVAILABLE", "TOKEN_HANGS") as told:
            org.generate(kek)
        assert "RetryInfo" in told[0].details
        eventually(lambda: not service.serves(), "health says that it does not serve")
        request = organizations.GetOrganizationRequest(name=org.name)
        assert org.admin.organizations.GetOrganization(request, timeout=2).name == org.name
        shim.release()
        assert len(stuck.result(20)) == 1
        eventually(service.serves, "it serves again")
        assert org.generate(kek)
        assert service.pids("worker") == [worker]

        shim.hang("C_GenerateRandom")
        lost = threads.submit(org.generate, kek)
        eventually(lambda: service.pids("worker") not in ([worker], []), "the worker is replaced")
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            lost.result(20)
        shim.release()
        eventually(service.serves, "its successor serves")
        assert org.generate(kek)

        (steward,) = service.pids("steward")
        shim.hang("C_FindObjects")  # The comparison of token and database, with which a steward begins.
        os.kill(steward, 9)
        eventually(
            lambda: [it["status"] for it in logged(service, "ended") if it["child"] == "steward"] == [-9, 75],
            "the steward that hangs gives up",
        )
        shim.release()
        eventually(lambda: service.pids("steward"), "it is replaced")
    assert [it["status"] for it in logged(service, "ended") if it["child"] == "worker-1"] == [75]
    assert {it["reason"] for it in logged(service, "health") if it["reason"]} <= {"TOKEN_HANGS", "CHECK_HANGS"}
