"""A Keystead of the tests' own: real processes over a real token, with its certificates, in one folder."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1.approval_service_pb2_grpc import ApprovalServiceStub
from keystead.v1.audit_service_pb2_grpc import AuditServiceStub
from keystead.v1.authority_service_pb2_grpc import AuthorityServiceStub
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.organization_service_pb2_grpc import OrganizationServiceStub
from keystead.v1.resources_pb2 import Kek, MainKey, WrappingKey
from keystead.v1.rotation_service_pb2_grpc import RotationServiceStub
from typer.testing import CliRunner

from server.cli import dev
from tests.support.crypto import encrypt
from tests.support.token import ROOT, make_token

PATIENCE = 60.0
"""Seconds that a test waits for what must come about."""


def eventually(condition, what: str, patience: float = PATIENCE, interval: float = 0.05):
    """Return what `condition` returns as soon as that is true; it is asked each `interval` seconds."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come about in {patience:.0f} s: {what}"
        time.sleep(interval)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass(frozen=True)
class Refusal:
    """What a refused call was told."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str]
    details: tuple[str, ...]
    call_id: str = field(compare=False)
    """Under which the log tells of the call."""


def refusal_told(status: Status) -> Refusal:
    """What an item of an answer was told."""
    info = ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    (code,) = (it for it in grpc.StatusCode if it.value[0] == status.code)
    details = tuple(detail.TypeName().rpartition(".")[2] for detail in status.details)
    return Refusal(code, info.reason, status.message, dict(info.metadata), details, "")


def refusal_of(error: grpc.RpcError) -> Refusal:
    status = rpc_status.from_call(error)
    details = [detail.TypeName().rpartition(".")[2] for detail in status.details] if status else []
    info, call = ErrorInfo(), RequestInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(call)
    if status:
        details.remove("RequestInfo")
    return Refusal(error.code(), info.reason, error.details(), dict(info.metadata), tuple(details), call.request_id)


@contextmanager
def refused(code: str, reason: str) -> Iterator[list[Refusal]]:
    """Expect the block's call to be refused; the refusal is in the list afterwards."""
    told: list[Refusal] = []
    with pytest.raises(grpc.RpcError) as caught:
        yield told
    refusal = refusal_of(caught.value)
    assert (refusal.code.name, refusal.reason) == (code, reason), refusal
    assert "ErrorInfo" in refusal.details
    told.append(refusal)


class Client:
    """The stubs of one caller."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.organizations = OrganizationServiceStub(channel)
        self.main_keys = MainKeyServiceStub(channel)
        self.content_keys = ContentKeyServiceStub(channel)
        self.rotations = RotationServiceStub(channel)
        self.authority = AuthorityServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.approvals = ApprovalServiceStub(channel)
        self.health = HealthStub(channel)


_printing = threading.Lock()


def _dev(*arguments: object) -> str:
    """Run `keystead dev`, and return what it prints; in this process, since a hundred tests do."""
    with _printing:
        done = CliRunner().invoke(dev.app, [str(it) for it in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


class Service:
    """One running Keystead."""

    def __init__(self, folder: Path, *, database: str = "sqlite:///keystead.db", **settings: str) -> None:
        """Make everything that it needs; `settings` are as in the environment, without KEYSTEAD_."""
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.config = folder / "keystead.toml"
        self.log = folder / "service.log"
        self._settings = {"LIFE__WRAPPING_KEY_ALGORITHM": "RSA_OAEP_3072_SHA256", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._channels: dict[str, grpc.Channel] = {}
        self._identities: dict[str, dict[str, str]] = {}
        module = make_token(folder / "token").module_path
        _dev("init", "--folder", folder, "--module", module, "--address", self.address, "--database", database)

    # The processes.

    def environment(self) -> dict[str, str]:
        mine = {f"KEYSTEAD_{name}": value for name, value in self._settings.items()}
        return {**os.environ, **mine, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}

    def keystead(self, *arguments: object, check: bool = True, **more) -> subprocess.CompletedProcess[str]:
        """Run the command line as nobody in particular."""
        command = [sys.executable, "-m", "server", *map(str, arguments)]
        environment = {**self.environment(), **more.pop("env", {})}
        return subprocess.run(command, env=environment, check=check, capture_output=True, text=True, **more)

    def start(self) -> None:
        command = [sys.executable, "-m", "server", "serve", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)
        eventually(self.serves, f"{self.address} serves\n{self.log.read_text()[-4000:]}")

    def serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        try:
            answer = self.client("operator").health.Check(HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End the supervisor without a word; its processes follow."""
        assert self._process is not None
        self._process.kill()
        self._ended()
        eventually(lambda: not self.pids("worker") + self.pids("steward"), "the processes end")

    def _ended(self) -> int:
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        self._process = None
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        return status

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def supervisor(self) -> int:
        """The id of the process that was started; the others are its children."""
        assert self._process is not None
        return self._process.pid

    def pids(self, name: str) -> list[int]:
        """Return the ids of the processes of a kind: worker or steward."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if words[1:4] == [b"-m", b"server", name.encode()] and str(self.config).encode() in words:
                    found.append(int(folder.name))
        return found

    def kill_one(self, name: str) -> None:
        pids = self.pids(name)
        if pids:
            os.kill(pids[0], signal.SIGKILL)

    # Callers.

    def identity(self, who: str) -> dict[str, str]:
        """Return the environment of a caller: operator, admin:ORG or service:ORG."""
        if who not in self._identities:
            printed = _dev("env", "--as", who, "--folder", self.folder)
            pairs = (shlex.split(line)[0].partition("=") for line in printed.splitlines() if "=" in line)
            self._identities[who] = {name: value for name, _, value in pairs}
        return self._identities[who]

    def credentials(self, who: str) -> grpc.ChannelCredentials:
        files = self.identity(who)
        read = [Path(files[f"KEYSTEAD_{name}"]).read_bytes() for name in ("CA", "KEY", "CERT")]
        return grpc.ssl_channel_credentials(*read)

    def new_client(self, who: str) -> Client:
        """Return a client with a connection of its own; the caller closes its channel."""
        # A channel otherwise shares its connection with others of the same target and credentials.
        options = (("grpc.use_local_subchannel_pool", 1),)
        return Client(grpc.secure_channel(self.address, self.credentials(who), options))

    def client(self, who: str) -> Client:
        if who not in self._channels:
            self._channels[who] = self.new_client(who).channel
        return Client(self._channels[who])

    def cli(self, who: str, *arguments: object, check: bool = True, **more) -> subprocess.CompletedProcess[str]:
        """Run the command line as a caller."""
        return self.keystead(*arguments, check=check, env=self.identity(who), **more)

    # What most tests begin with.

    def new_organization(self, prefix: str = "org") -> "Organization":
        name = f"{prefix}-{os.urandom(4).hex()}"
        request = organizations.CreateOrganizationRequest(organization_id=name)
        self.client("operator").organizations.CreateOrganization(request)
        return Organization(self, name)


@dataclass(frozen=True)
class Organization:
    """An organisation, its administrator and its service."""

    service: Service
    id: str

    @property
    def name(self) -> str:
        return f"organizations/{self.id}"

    @property
    def admin(self) -> Client:
        return self.service.client(f"admin:{self.id}")

    @property
    def user(self) -> Client:
        return self.service.client(f"service:{self.id}")

    def wrapping_key(self) -> WrappingKey:
        return self.admin.main_keys.GetWrappingKey(main_keys.GetWrappingKeyRequest(parent=self.name))

    def upload(
        self, encrypted: bytes, wrapping_key: str, activation=main_keys.LATER, fingerprint: bytes = b""
    ) -> main_keys.ImportMainKeyResponse:
        return self.admin.main_keys.ImportMainKey(
            main_keys.ImportMainKeyRequest(
                parent=self.name,
                wrapping_key=wrapping_key,
                encrypted_key=encrypted,
                activation=activation,
                expected_fingerprint=fingerprint,
            )
        )

    def bring(self, value: bytes | None = None, activation=main_keys.NOW) -> MainKey:
        """Bring a main key: this one, or a new one."""
        wrapping_key = self.wrapping_key()
        encrypted = encrypt(wrapping_key.public_key_pem.encode(), value or os.urandom(32))
        return self.upload(encrypted, wrapping_key.name, activation).main_key

    def activate(self, main_key: str) -> MainKey:
        return self.admin.main_keys.ActivateMainKey(main_keys.ActivateMainKeyRequest(name=main_key))

    def main_key(self, name: str) -> MainKey:
        return self.admin.main_keys.GetMainKey(main_keys.GetMainKeyRequest(name=name))

    def main_keys(self, *, show_removed: bool = True) -> list[MainKey]:
        request = main_keys.ListMainKeysRequest(parent=self.name, page_size=1000, show_removed=show_removed)
        return list(self.admin.main_keys.ListMainKeys(request).main_keys)

    def states(self) -> dict[str, str]:
        """Return the state of each main key by its name, also of those that are REMOVED."""
        return {key.name: MainKey.State.Name(key.state) for key in self.main_keys()}

    def await_state(self, main_key: str, state: str, patience: float = PATIENCE) -> None:
        eventually(lambda: self.states()[main_key] == state, f"{main_key} is {state}", patience)

    def new_kek(self) -> Kek:
        return self.user.content_keys.CreateKek(content_keys.CreateKekRequest(parent=self.name))

    def generate(self, kek: str, count: int = 1, **context: str) -> list[content_keys.GeneratedContentKey]:
        request = content_keys.GenerateContentKeysRequest(kek=kek, count=count, context=context)
        return list(self.user.content_keys.GenerateContentKeys(request).content_keys)

    def wrap(self, kek: str, plaintext: bytes, **context: str) -> content_keys.WrapContentKeysResult:
        item = content_keys.WrapContentKeysItem(plaintext=plaintext, context=context)
        request = content_keys.WrapContentKeysRequest(kek=kek, items=[item])
        (result,) = self.user.content_keys.WrapContentKeys(request).results
        return result

    def unwrap_many(self, wrapped: list[bytes], **context: str) -> list[content_keys.UnwrapContentKeysResult]:
        items = [content_keys.UnwrapContentKeysItem(wrapped=it, context=context) for it in wrapped]
        request = content_keys.UnwrapContentKeysRequest(parent=self.name, items=items)
        return list(self.user.content_keys.UnwrapContentKeys(request).results)

    def unwrap(self, wrapped: bytes, **context: str) -> content_keys.UnwrapContentKeysResult:
        (result,) = self.unwrap_many([wrapped], **context)
        return result


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Service]:
    with started(Service(folder, **settings)) as service:
        yield service


@contextmanager
def started(service: Service) -> Iterator[Service]:
    service.start()
    try:
        yield service
    finally:
        if service.is_running:
            assert service.stop() == 0, service.log.read_text()[-4000:]


@cache
def openssl_zero_key_fingerprint() -> bytes:
    """The fingerprint of the all-zero key, by OpenSSL."""
    wrap = f"openssl enc -id-aes256-wrap -K {'0' * 64} -iv A6A6A6A6A6A6A6A6"
    wrapped = subprocess.run(shlex.split(wrap), input=bytes(32), check=True, capture_output=True).stdout
    digest = subprocess.run(["openssl", "sha256", "-binary"], input=wrapped, check=True, capture_output=True)
    return digest.stdout
