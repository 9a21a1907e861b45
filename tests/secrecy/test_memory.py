"""No key and no PIN is found in the memory of a process that is not using it, nor in any file that it writes.

SoftHSM lives in the process that uses it, and so a key must be in that process's memory while it is used. What is shown
here is that it is gone afterwards: SoftHSM keeps keys encrypted, and wipes what it opens. With the token in a process
of its own, main keys and KEKs are in that one alone, in the middle of their use too. Content keys are the product:
those of the last calls are in the worker that answered them, until their memory is used for something else.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest
from cryptography.hazmat.primitives import keywrap
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1.resources_pb2 import MainKey

from tests.support.memory import seen_in_memory
from tests.support.rows import rows_of
from tests.support.service import Organization, Service, eventually, refusal_of, running, started
from tests.support.token_server import PROXY, token_server

CONTENT_KEYS = 20
SETTINGS = {"METRICS__ADDRESS": "127.0.0.1:0", "SERVER__WORKERS": "2"}


@dataclass(frozen=True)
class Life:
    """What was done with a service, and the values that it was done with.

    Attributes:
        main_key: the one in charge.
        wrapped: the content keys, as services keep them.
        keys: the values of the main keys and the KEK.
        content_keys: their values.
    """

    org: Organization
    main_key: str
    wrapped: list[bytes]
    keys: Mapping[str, bytes]
    content_keys: Mapping[str, bytes]

    def use(self) -> None:
        for number, (wrapped, plaintext) in enumerate(zip(self.wrapped, self.content_keys.values(), strict=True)):
            assert self.org.unwrap(wrapped, document=str(number)).plaintext == plaintext

    def revoke(self) -> None:
        self.org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=self.main_key))
        eventually(self._is_locked, "the content keys are locked")

    def _is_locked(self) -> bool:
        try:
            self.use()
        except grpc.RpcError as error:
            return refusal_of(error).reason == "ORGANIZATION_LOCKED"
        return False

    def delete(self) -> None:
        deleted = self.org.admin.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=self.main_key))
        assert deleted.state == MainKey.DELETED


def lived(service: Service) -> Life:
    """Have an organisation bring a main key, use it, replace it, revoke the new one and activate it again.

    After that no worker has a KEK loaded.
    """
    org, values = service.new_organization(), [os.urandom(32), os.urandom(32)]
    first = org.bring(values[0]).name
    kek = org.new_kek().name
    made = [org.generate(kek, document=str(number))[0] for number in range(CONTENT_KEYS)]
    second = org.bring(values[1]).name
    org.await_state(first, "RETIRED")
    with rows_of(f"sqlite:///{service.folder}/keystead.db") as rows:
        (wrapped,) = rows.one("SELECT wrapped FROM keks")
    kek_value = keywrap.aes_key_unwrap(values[1], bytes(wrapped))
    keys = {"old main key": values[0], "main key": values[1], "kek": kek_value}
    content_keys = {f"content key {number}": key.plaintext for number, key in enumerate(made)}
    assert seen_in_memory(os.getpid(), keys | content_keys) == keys.keys() | content_keys.keys()
    life = Life(org, second, [key.wrapped for key in made], keys, content_keys)
    life.use()
    life.revoke()
    org.activate(second)
    return life


def demand_clean(service: Service, secrets: Mapping[str, bytes], content_keys: Mapping[str, bytes]) -> None:
    """Find the secrets in no process and no file, and content keys in workers alone."""
    workers, others = service.pids("worker"), [*service.pids("steward"), service.supervisor]
    assert (len(workers), len(others)) == (2, 2)
    for pid in workers + others:
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        assert seen_in_memory(pid, secrets) == set()
    for pid in others:
        assert seen_in_memory(pid, content_keys) == set()
    own_place = {"pin": [service.folder / "token" / "pin"]}
    for name, secret in {**secrets, **content_keys}.items():
        held = [file for file in service.folder.rglob("*") if file.is_file() and secret in file.read_bytes()]
        assert held == own_place.get(name, []), name


def test_a_process_makes_no_core_dump_and_shows_its_memory_to_nobody():
    program = """
import ctypes, resource
from server.private_memory import keep_memory_private

assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1  # PR_GET_DUMPABLE
keep_memory_private()
assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_keys_and_pin_are_in_no_memory_and_no_file(tmp_path):
    with running(tmp_path, **SETTINGS) as service:
        life = lived(service)
        life.use()
        pin = (tmp_path / "token" / "pin").read_bytes().strip()
        demand_clean(service, {**life.keys, "pin": pin}, life.content_keys)


@pytest.mark.slow
def test_with_the_token_in_another_process_none_of_ours_has_a_key_even_while_it_is_used(tmp_path):
    service = Service(tmp_path / "service", HSM__MODULE=str(PROXY), **SETTINGS)
    with token_server(service.folder / "token", tmp_path) as token, started(service):
        life = lived(service)

        def in_use() -> list[int]:
            return [pid for pid in token.held() if seen_in_memory(pid, life.keys) == {"main key", "kek"}]

        with ThreadPoolExecutor(1) as pool:
            with token.holding_aes_kw():
                use = pool.submit(life.use)
                assert eventually(in_use, "the KEK is being unwrapped")[0] in token.pids()
                demand_clean(service, life.keys, life.content_keys)
                assert in_use()
                assert not use.done()
            use.result()
        life.revoke()
        life.delete()
        # The PIN is not looked for: p11-kit does not wipe what it has sent.
        demand_clean(service, life.keys, life.content_keys)
