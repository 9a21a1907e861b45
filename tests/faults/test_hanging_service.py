"""A service whose token hangs: what callers are told, how its processes are replaced, and how it stops."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from keystead.v1 import organization_service_pb2 as organizations

from tests.faults.conftest import shimmed_service
from tests.support.service import eventually, refused

pytestmark = pytest.mark.slow


def logged(service, event: str) -> list[dict[str, object]]:
    lines = (json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="module")
def hanging(tmp_path_factory, shim_library):
    folder = tmp_path_factory.mktemp("hanging")
    with shimmed_service(folder, shim_library, HSM__HANG_WARNING="PT1S", HSM__HANG_LIMIT="PT5S") as hanging:
        yield hanging


def test_a_token_that_hangs_is_told_at_once_and_its_processes_are_replaced(hanging):
    service, shim = hanging
    org = service.new_organization()
    kek = org.new_kek().name
    (worker,) = service.pids("worker")

    with ThreadPoolExecutor(1) as threads:
        shim.hang("C_GenerateRandom")
        stuck = threads.submit(org.generate, kek)
        # On a busy machine other calls may take long, too, and are told of.
        hangs = {"C_GenerateRandom"}
        eventually(lambda: hangs & {it["function"] for it in logged(service, "token_hangs")}, "the call is noticed")
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


def test_a_service_that_stops_lets_the_calls_in_flight_end(hanging):
    service, shim = hanging
    org = service.new_organization()
    kek = org.new_kek().name
    with ThreadPoolExecutor(2) as threads:
        shim.hang("C_GenerateRandom")
        in_flight = threads.submit(org.generate, kek)
        eventually(shim.used_up, "a call is in the token")
        stopped = threads.submit(service.stop)
        eventually(lambda: refuses_new_calls(service), "no new call is taken")
        shim.release()
        assert len(in_flight.result(20)) == 1
        assert stopped.result(20) == 0


def refuses_new_calls(service) -> bool:
    client = service.new_client("operator")
    try:
        answer = client.health.Check(HealthCheckRequest(), timeout=2)
    except grpc.RpcError:
        return True
    finally:
        client.channel.close()
    return answer.status == HealthCheckResponse.NOT_SERVING


def test_a_start_whose_token_hangs_can_be_stopped_and_ends_by_itself(hanging):
    service, shim = hanging
    command = [sys.executable, "-m", "server", "serve", "--config", str(service.config)]
    with service.log.open("ab") as log:
        for stop, limit, status in ((True, "PT1M", 0), (False, "PT2S", 75)):
            environment = {**service.environment(), "KEYSTEAD_HSM__HANG_LIMIT": limit}
            shim.hang("C_GenerateKeyPair")
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            eventually(shim.used_up, "the token is tried out")
            if stop:
                process.terminate()
            assert process.wait(20) == status
            shim.release()
    assert logged(service, "token_given_up")[-1]["process"] == "prepare"
    assert service.pids("worker") == service.pids("steward") == []
