"""The contract: well-formed, commented, and the same as the code that was generated from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import google.api
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from keystead.v1 import content_key_service_pb2, main_key_service_pb2

from tests.support.token import ROOT

PROTO = ROOT / "proto"
BUF = Path(sys.executable).with_name("buf")
SERVICE, METHOD = 6, 2
"""Numbers of the fields that lead to an rpc in a FileDescriptorProto; its comments are filed under them."""


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """The contract compiled, with its comments and all that it imports: what buf would fetch from its registry."""
    file = tmp_path_factory.mktemp("image") / "image.binpb"
    common = Path(next(iter(google.api.__path__))).parent.parent
    sources = sorted(str(it) for it in PROTO.glob("keystead/v1/*.proto"))
    command = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{common}"]
    command += ["--include_imports", "--include_source_info", f"--descriptor_set_out={file}"]
    subprocess.run([*command, *sources], check=True)
    return file


def test_buf_has_nothing_to_say(image):
    command = [BUF, "lint", image, "--config", PROTO / "buf.yaml", "--path", "keystead"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_rpc_says_who_calls_it_and_what_goes_wrong(image):
    comments = {}
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        if file.package != "keystead.v1":
            continue
        for place in file.source_code_info.location:
            if len(place.path) == 4 and (place.path[0], place.path[2]) == (SERVICE, METHOD):
                service = file.service[place.path[1]]
                comments[f"{service.name}.{service.method[place.path[3]].name}"] = place.leading_comments
    assert len(comments) >= 16
    for rpc, comment in comments.items():
        assert re.search(r"^ Callers: \S.*\.$", comment, re.MULTILINE), f"{rpc} does not say who may call it"
        assert re.search(r"^ Errors: \S", comment, re.MULTILINE), f"{rpc} does not say what goes wrong"


def test_bytes_that_matter_have_a_checksum_beside_them_and_what_tells_of_a_content_key_is_redacted():
    fields = {
        (message.name, field.name): field
        for file in (content_key_service_pb2, main_key_service_pb2)
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }
    matter = {place for place in fields if place[1] in {"plaintext", "wrapped", "encrypted_key"}}
    assert len(matter) >= 8
    for message, name in matter:
        checksum = fields[message, f"{name}_crc32c"]
        assert (checksum.type, checksum.has_presence) == (FieldDescriptor.TYPE_FIXED32, True)
    for place, field in fields.items():
        in_clear = place[1].startswith("plaintext")
        assert field.GetOptions().debug_redact == (in_clear or place[1] == "encrypted_key"), place


def test_the_generated_code_is_that_of_the_contract(tmp_path):
    subprocess.run([ROOT / "scripts/generate_protos", tmp_path], check=True, env={**os.environ, "LC_ALL": "C"})
    made = {file.name: file.read_text() for file in tmp_path.rglob("*_pb2*")}
    kept = {file.name: file.read_text() for file in (PROTO / "keystead/v1").glob("*_pb2*")}
    assert made.keys() == kept.keys()
    stale = [name for name in made if made[name] != kept[name]]
    assert not stale, "Run scripts/generate_protos, and commit what it writes"
