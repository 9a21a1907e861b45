"""The PIN: never tried again when it was refused, never in a file that others read, never kept."""

import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from hsm_adapter import HsmAuthenticationError, HsmCapacityError, HsmToken, HsmUnavailableError, sessions
from hsm_adapter.constants import Rv
from hsm_adapter.module import Module
from hsm_adapter.pin_file import PinFile
from hsm_adapter.sessions import SessionPool
from tests.support.token import ROOT


def test_a_refused_pin_is_tried_once_and_again_only_when_the_file_changes(settings, shim):
    pin = settings.pin_file.read_bytes()
    settings.pin_file.write_bytes(b"wrong")

    loaded = Module.load(settings.module_path, None)
    pool = SessionPool(loaded, label="keystead", serial=None, pin_file=PinFile(settings.pin_file), size=2)
    for _ in range(3):
        with pytest.raises(HsmAuthenticationError), pool.lease():
            pass
    assert shim.count("C_Login") == 1
    assert pool.pin_is_refused
    assert PinFile(settings.pin_file).is_refused()
    settings.pin_file.write_bytes(pin)
    assert not pool.pin_is_refused
    with pool.lease() as session:
        assert pool.is_logged_in(session)
    assert shim.count("C_Login") == 2
    pool.close()


def test_a_pin_that_one_process_saw_refused_is_not_tried_by_another(settings, shim):
    pin = settings.pin_file.read_bytes()
    settings.pin_file.write_bytes(b"wrong")
    command = [sys.executable, "-c", OPENED, settings.module_path, settings.pin_file]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "HsmAuthenticationError" in refused.stderr
        assert "wrong" not in refused.stderr
    assert shim.count("C_Login") == 1
    settings.pin_file.write_bytes(pin)
    subprocess.run(command, env=environment, check=True)
    assert shim.count("C_Login") == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_pin_file_that_others_can_read_is_refused(settings, shim, mode):
    settings.pin_file.chmod(mode)
    with pytest.raises(HsmAuthenticationError, match="chmod 600"), HsmToken.open(settings):
        pass
    assert shim.count("C_Login") == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 256])
def test_a_pin_file_without_a_pin_is_refused(settings, shim, content):
    settings.pin_file.write_bytes(content)
    with pytest.raises(HsmAuthenticationError), HsmToken.open(settings):
        pass
    assert shim.count("C_Login") == 0


def test_a_missing_pin_file_is_told(settings, shim):
    with (
        pytest.raises(HsmAuthenticationError, match="cannot be read"),
        HsmToken.open(replace(settings, pin_file=settings.pin_file / "x")),
    ):
        pass


def test_being_logged_in_already_is_success(settings, shim):
    shim.fail("C_Login", Rv.USER_ALREADY_LOGGED_IN, when="after")
    with HsmToken.open(settings) as token:
        token.random(1)


def test_a_key_that_is_missed_while_another_thread_logs_in_is_only_looked_for_again(token, shim, monkeypatch):
    token.generate_main_key(main := secrets.token_bytes(16))
    before = shim.count("C_Login")
    asked = token._pool.is_logged_in

    def asked_too_late(session):
        token._pool.log_in_again(session.era)
        return asked(session)

    monkeypatch.setattr(token._pool, "is_logged_in", asked_too_late)
    with token._pool.lease() as session:
        token._cryptoki.logout(session.handle)
    token.create_kek(main, b"")
    assert shim.count("C_Login") == before + 1
    assert shim.count("C_Initialize") == 1


def test_threads_that_lose_the_login_log_in_once(token, shim):
    token.generate_main_key(main := secrets.token_bytes(16))
    before = shim.count("C_Login")
    with token._pool.lease() as session:
        token._cryptoki.logout(session.handle)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: token.create_kek(main, b""), range(12)))
    assert shim.count("C_Login") == before + 1


def test_the_number_of_sessions_is_bounded(settings, shim, monkeypatch):
    monkeypatch.setattr(sessions, "_PATIENCE", 0.05)
    with HsmToken.open(replace(settings, sessions=3)) as token, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(token._pool.lease())
        with pytest.raises(HsmCapacityError):
            token.random(1)


def test_a_token_of_another_name_is_told(settings, shim):
    with (
        pytest.raises(HsmUnavailableError, match="no token has it"),
        HsmToken.open(replace(settings, token_label="other")),
    ):
        pass


def test_a_token_is_found_by_its_serial_number(settings, shim):
    with HsmToken.open(settings) as token:
        serial = token.info.serial
    with HsmToken.open(replace(settings, token_label=None, token_serial=serial)) as token:
        assert token.info.label == "keystead"


def test_a_file_that_is_no_module_is_told(settings, tmp_path, shim):
    (tmp_path / "not.so").write_bytes(b"no library")
    with pytest.raises(HsmUnavailableError), HsmToken.open(replace(settings, module_path=tmp_path / "not.so")):
        pass
    with pytest.raises(HsmUnavailableError), HsmToken.open(replace(settings, module_path=tmp_path / "missing.so")):
        pass


OPENED = """
import sys
from pathlib import Path
from hsm_adapter import HsmSettings, HsmToken

with HsmToken.open(HsmSettings(Path(sys.argv[1]), "keystead", None, Path(sys.argv[2]), "softhsm")) as token:
    token.random(1)
"""

FORKED = """
import os, sys
from pathlib import Path
from hsm_adapter import HsmSettings, HsmToken, HsmUnavailableError

with HsmToken.open(HsmSettings(Path(sys.argv[1]), "keystead", None, Path(sys.argv[2]), "softhsm")) as token:
    token.random(1)
    child = os.fork()
    if child == 0:
        try:
            token.random(1)
        except HsmUnavailableError:
            os._exit(7)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    token.random(1)
"""


def test_a_forked_child_does_not_use_its_parents_sessions(settings, shim):
    command = [sys.executable, "-c", FORKED, settings.module_path, settings.pin_file]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "7"
