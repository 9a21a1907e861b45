"""Damage to the token's files, as crashes and administrators cause it."""

import secrets
import shutil
import threading

import pytest

from hsm_adapter import HsmToken, HsmUnavailableError, ObjectMissingError, recovery
from tests.support.keks import Used


@pytest.fixture
def objects_folder(settings):
    (folder,) = [path for path in (settings.pin_file.parent / "tokens").iterdir() if path.is_dir()]
    return folder


def test_half_written_objects_do_not_hurt(settings, shim, objects_folder):
    main = secrets.token_bytes(16)
    with HsmToken.open(settings) as token:
        before = token.generate_main_key(main).fingerprint
    (whole,) = [path for path in objects_folder.glob("*.object") if path.name != "token.object"]
    (objects_folder / "00000000-0000-0000-0000-000000000001.object").write_bytes(b"")
    (objects_folder / "00000000-0000-0000-0000-000000000002.object").write_bytes(whole.read_bytes()[:100])
    with HsmToken.open(settings) as token:
        token._recovery._module.restart(token._recovery._module.generation)
        assert token.report_main_key(main).fingerprint == before
        kek = token.create_kek(main, b"")
        Used(token, main, kek, b"").load()


def test_a_token_that_goes_away_and_comes_back_is_found_again(settings, shim, objects_folder, monkeypatch):

    monkeypatch.setattr(recovery, "_SECOND_LOOK", 0.0)
    main = secrets.token_bytes(16)
    with HsmToken.open(settings) as token:
        kek = token.generate_main_key(main) and token.create_kek(main, b"")
        hidden = objects_folder.with_name("hidden")
        away = objects_folder.parent.parent / "away"
        shutil.move(objects_folder, away)
        with pytest.raises((HsmUnavailableError, ObjectMissingError)):
            token._objects.forget()
            token.report_main_key(main)
        shutil.move(away, objects_folder)
        assert not hidden.exists()
        in_use = Used(token, main, kek, b"")
        assert in_use.decrypt(in_use.encrypt(b"x", b""), b"") == b"x"


def test_a_restart_waits_for_calls_in_flight(token):
    module = token._recovery._module
    token.generate_main_key(main := secrets.token_bytes(16))
    kek = token.create_kek(main, b"")
    restarted = threading.Event()

    def restart():
        module.restart(module.generation)
        restarted.set()

    thread = threading.Thread(target=restart)
    used = Used(token, main, kek, b"").kek

    def work(keks):
        sealed = keks.encrypt(used, b"x", b"")
        thread.start()
        assert not restarted.wait(0.3)
        return keks.decrypt(used, sealed, b"")

    assert token.with_keks(work, first=used) == b"x"
    thread.join(10)
    assert restarted.is_set()
