"""No key and no PIN is found in the memory of a process that is not using it, nor in any file that it writes.

SoftHSM lives in the process that uses it, and so a key must be in that process's memory while it is used. What is shown
here is that it is gone afterwards: SoftHSM keeps keys encrypted, and wipes what it opens. Content keys are the product:
those of the last calls are in the worker that answered them, until their memory is used for something else.
"""

import os
import resource
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import keywrap

from tests.support.memory import seen_in_memory
from tests.support.rows import rows_of
from tests.support.service import running

CONTENT_KEYS = 20


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
    settings = {"METRICS__ADDRESS": "127.0.0.1:0", "SERVER__WORKERS": "2"}
    with running(tmp_path, **settings) as service, rows_of(f"sqlite:///{tmp_path}/keystead.db") as rows:
        org, value = service.new_organization(), os.urandom(32)
        org.bring(value)
        kek = org.new_kek().name
        keys = [org.generate(kek, document=str(number))[0] for number in range(CONTENT_KEYS)]
        for number, key in enumerate(keys):
            assert org.unwrap(key.wrapped, document=str(number)).plaintext == key.plaintext
        [(wrapped,)] = rows.all("SELECT wrapped FROM keks")
        pin = (tmp_path / "token" / "pin").read_bytes().strip()
        secrets = {"main key": value, "kek": keywrap.aes_key_unwrap(value, bytes(wrapped)), "pin": pin}
        content_keys = {f"content key {number}": key.plaintext for number, key in enumerate(keys)}
        assert seen_in_memory(os.getpid(), secrets | content_keys) == secrets.keys() | content_keys.keys()

        workers, others = service.pids("worker"), [*service.pids("steward"), service.supervisor]
        assert (len(workers), len(others)) == (2, 2)
        for pid in workers + others:
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
            assert seen_in_memory(pid, secrets) == set()
        for pid in others:
            assert seen_in_memory(pid, content_keys) == set()
        own_place = {"pin": [tmp_path / "token" / "pin"]}
        for name, secret in (secrets | content_keys).items():
            held = [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_bytes()]
            assert held == own_place.get(name, []), name
