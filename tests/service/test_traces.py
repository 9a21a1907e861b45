"""Traces of a running service, as a collector of OpenTelemetry receives them; and that none are made unasked."""

import os
import subprocess
import sys

import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.collector import attributes, collecting
from tests.support.service import Service, eventually, free_port, refused, running
from tests.support.token import ROOT

pytestmark = pytest.mark.slow

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNINSTALLED = "import sys; sys.modules['opentelemetry'] = None; sys.argv[0] = 'keystead'; "
UNINSTALLED += "import importlib.util as u; f = u.find_spec; "
UNINSTALLED += "u.find_spec = lambda name, *a: None if name.startswith('opentelemetry') else f(name, *a); "
UNINSTALLED += "from server.__main__ import main; main()"


@pytest.fixture(scope="module")
def collector():
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory, collector):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        folder = tmp_path_factory.mktemp("traced")
        with running(folder, SERVER__WORKERS="1", TRACING__ENDPOINT=collector.endpoint) as service:
            yield service


def test_a_call_is_a_span_in_its_callers_trace_and_its_steps_are_spans_in_it(traced, collector):
    org = traced.new_organization()
    kek = org.new_kek().name
    metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "traced-1"))
    org.user.content_keys.GenerateContentKeys(content_keys.GenerateContentKeysRequest(kek=kek), metadata=metadata)
    (span,) = eventually(
        lambda: [it for it in collector.named("/GenerateContentKeys") if it.trace_id.hex() == TRACE], "the span arrives"
    )
    assert span.name == "keystead.v1.ContentKeyService/GenerateContentKeys"
    assert span.parent_span_id.hex() == PARENT
    assert span.kind == Span.SPAN_KIND_SERVER
    assert attributes(span) == {
        "rpc.system": "grpc",
        "rpc.service": "keystead.v1.ContentKeyService",
        "rpc.method": "GenerateContentKeys",
        "rpc.response.status_code": "OK",
        "keystead.call_id": "traced-1",
    }
    steps = [it for it in collector.spans() if it.parent_span_id == span.span_id]
    assert {it.name for it in steps} >= {"token random", "token with_keks"}
    assert all(span.start_time_unix_nano <= it.start_time_unix_nano <= span.end_time_unix_nano for it in steps)
    (kek_span,) = collector.named("/CreateKek")
    names = {it.name for it in collector.spans() if it.trace_id == kek_span.trace_id}
    assert {"database read", "database write", "token create_kek"} <= names


def test_a_refusal_has_its_code_and_reason_and_only_our_own_faults_are_errors(traced, collector):
    org = traced.new_organization()
    before = len(collector.named("/GenerateContentKeys"))
    with refused("NOT_FOUND", "NOT_FOUND") as refusal:
        org.generate(f"{org.name}/keks/{'0' * 32}")
    eventually(lambda: len(collector.named("/GenerateContentKeys")) > before, "the span arrives")
    span = collector.named("/GenerateContentKeys")[-1]
    told = attributes(span)
    assert (told["rpc.response.status_code"], told["keystead.reason"]) == ("NOT_FOUND", "NOT_FOUND")
    assert told["keystead.call_id"] == refusal[0].call_id
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert not span.events


def test_a_trace_names_no_organisation_no_caller_and_no_key(traced, collector):
    org = traced.new_organization()
    key, kek = org.bring(), org.new_kek()
    (made,) = org.generate(kek.name, document="report")
    with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"):
        org.activate(key.name)
    eventually(lambda: collector.named("/ActivateMainKey"), "the last span arrives")
    sent = collector.everything()
    ids = (org.id, key.name.rpartition("/")[2], kek.name.rpartition("/")[2], "spiffe", "report")
    secrets = (made.plaintext, made.wrapped, made.plaintext.hex().encode())
    assert not any(it in sent for it in (*(name.encode() for name in ids), *secrets))
    assert b"keystead.v1.MainKeyService" in sent


def test_a_collector_that_is_not_there_stops_nothing(tmp_path):
    with running(tmp_path, SERVER__WORKERS="1", TRACING__ENDPOINT=f"http://127.0.0.1:{free_port()}") as service:
        org = service.new_organization()
        assert org.generate(org.new_kek().name)


def test_without_the_extra_an_endpoint_ends_the_start_and_a_variable_does_not(tmp_path):
    service = Service(tmp_path)
    service.keystead("prepare", "--config", service.config)
    command = [sys.executable, "-c", UNINSTALLED, "worker", "--config", str(service.config)]
    environment = {**service.environment(), "KEYSTEAD_TRACING__ENDPOINT": "http://127.0.0.1:4317"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].endswith("OpenTelemetry is not installed: install keystead[otel].")


def test_opentelemetry_is_not_loaded_unasked():
    loaded = "[it for it in sys.modules if it.startswith(('opentelemetry', 'prometheus'))]"
    code = f"import sys, server.processes; print({loaded})"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
