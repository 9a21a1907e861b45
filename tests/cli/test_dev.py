"""keystead dev: being somebody on a development machine."""

import fcntl
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.service import eventually

pytestmark = pytest.mark.slow

NAMES = ["KEYSTEAD_ADDRESS", "KEYSTEAD_CA", "KEYSTEAD_CERT", "KEYSTEAD_KEY"]


@pytest.fixture
def made(nobody):
    """Somebody with a development set-up in the folder `dev set-up` (a name that has to be quoted)."""
    nobody.says("dev", "init", "--folder", "dev set-up", "--module", "/a/library.so", "--address", "127.0.0.1:1")
    return nobody


def assignments(printed: str) -> dict[str, str]:
    *settings, export = printed.splitlines()
    assert export == f"export {' '.join(NAMES)}"
    return dict(shlex.split(line)[0].split("=", 1) for line in settings)


def grants(folder) -> list[dict]:
    return tomllib.loads((folder / "policy.toml").read_text()).get("grants", [])


def test_init_makes_what_is_missing_and_keeps_what_is_there(made):
    folder = made.folder / "dev set-up"
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    made.says("dev", "init", "--folder", "dev set-up", "--module", "/another.so")
    assert {file: file.read_bytes() for file in before} == before
    assert tomllib.loads((folder / "keystead.toml").read_text())["hsm"]["module"] == "/a/library.so"
    assert grants(folder) == []
    assert stat.S_IMODE((folder / "pki").stat().st_mode) == 0o700
    for key in (folder / "pki").glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_shell_takes_what_env_prints(made):
    script = f'eval "$({sys.executable} -m server dev env --folder "dev set-up" --as admin:acme)"; env'
    done = subprocess.run(
        ["bash", "-c", script], cwd=made.folder, env=made.environment, check=True, capture_output=True, text=True
    )
    got = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("KEYSTEAD_"))
    pki = made.folder / "dev set-up" / "pki"
    assert {name: got[name] for name in NAMES} == {
        "KEYSTEAD_ADDRESS": "127.0.0.1:1",
        "KEYSTEAD_CA": str(pki / "ca.pem"),
        "KEYSTEAD_CERT": str(pki / "administrator-acme.pem"),
        "KEYSTEAD_KEY": str(pki / "administrator-acme.key"),
    }


@pytest.mark.parametrize(
    ("who", "grant"),
    [
        ("operator", {"role": "operator"}),
        ("admin:acme", {"role": "administrator", "organizations": ["acme"]}),
        ("service:acme", {"role": "service", "organizations": ["acme"]}),
    ],
)
def test_who_one_is_is_in_the_certificate_and_in_the_policy_once(made, who, grant):
    first = made.says("dev", "env", "--folder", "dev set-up", "--as", who)
    assert made.says("dev", "env", "--folder", "dev set-up", "--as", who) == first
    (written,) = grants(made.folder / "dev set-up")
    identity = written.pop("identity")
    assert written == grant
    certificate = assignments(first)["KEYSTEAD_CERT"]
    command = ["openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName,extendedKeyUsage"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"URI:{identity}\n" in told
    assert "TLS Web Client Authentication" in told
    ca = made.folder / "dev set-up" / "pki" / "ca.pem"
    subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", ca, certificate], check=True, capture_output=True)


@pytest.mark.parametrize(
    "who",
    [
        "",
        "root",
        "admin",
        "admin:",
        "admin:A",
        "service:x",
        "operator:acme",
        "admin:acme\n",
        "admin:a/../b",
        "admin:acme,b",
    ],
)
def test_bad_syntax_is_told_and_grants_nothing(made, who):
    told = made.is_told("dev", "env", "--folder", "dev set-up", "--as", who, status=2)
    assert "it must be operator, admin:ORGANIZATION or service:ORGANIZATION" in told
    assert grants(made.folder / "dev set-up") == []


def test_two_at_once_wait_for_each_other_and_both_are_granted(made):
    folder = made.folder / "dev set-up"
    command = [sys.executable, "-m", "server", "dev", "env", "--folder", folder, "--as"]
    with (folder / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = [
            subprocess.Popen(
                [*command, f"service:org-{number}"], env=made.environment, stdout=subprocess.PIPE, text=True
            )
            for number in range(3)
        ]
        pids = {process.pid for process in started}
        eventually(lambda: pids <= _waiting_for_locks(), "all of them wait")
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sorted(grant["organizations"] for grant in grants(folder)) == [["org-0"], ["org-1"], ["org-2"]]
    for given in map(assignments, printed):
        assert _public(["x509", "-in", given["KEYSTEAD_CERT"], "-noout", "-pubkey"]) == _public(
            ["pkey", "-in", given["KEYSTEAD_KEY"], "-pubout"]
        )


def test_two_set_ups_at_once_make_one_authority(nobody):
    command = [sys.executable, "-m", "server", "dev", "init", "--folder", "dev", "--module", "none"]
    started = [subprocess.Popen(command, cwd=nobody.folder, env=nobody.environment) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    pki = nobody.folder / "dev" / "pki"
    for name in ("ca", "server"):
        key = _public(["pkey", "-in", pki / f"{name}.key", "-pubout"])
        assert _public(["x509", "-in", pki / f"{name}.pem", "-noout", "-pubkey"]) == key
    verify = ["openssl", "verify", "-CAfile", pki / "ca.pem", pki / "server.pem"]
    subprocess.run(verify, check=True, capture_output=True)


def test_without_a_set_up_env_says_what_to_do(nobody):
    told = nobody.is_told("dev", "env", "--as", "operator", status=2)
    assert told == "keystead: .keystead/keystead.toml is missing. Run scripts/run first, or give --folder.\n"
    assert nobody.files() == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("policy.toml", "[[grants"),
        ("policy.toml", "[[grants]]\nrole = 'operator'\n"),
        ("keystead.toml", "address = "),
        ("keystead.toml", "[server]\n"),
        ("pki/ca.key", "no key"),
        ("pki/ca.key", None),
    ],
)
def test_a_damaged_set_up_is_told(made, file, content):
    place = made.folder / "dev set-up" / file
    if content is None:
        place.unlink()
    else:
        place.write_text(content)
    told = made.is_told("dev", "env", "--folder", "dev set-up", "--as", "operator", status=2)
    assert told.startswith("keystead: ")
    assert "dev set-up" in told


def _public(arguments: list) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def _waiting_for_locks() -> set[int]:
    # A line of those who wait: "1: -> FLOCK  ADVISORY  WRITE 4711 08:01:17 0 EOF".
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return {int(words[5]) for words in waiting}
