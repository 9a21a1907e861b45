"""The parts of the set-up: packages, the choice of SoftHSM2, the token; and what an interruption leaves."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.service import eventually
from tests.support.token import ROOT, softhsm_module

pytestmark = pytest.mark.slow

LIBC = next(Path("/lib").rglob("libc.so.6"))


@pytest.fixture(scope="module")
def checkout(new_checkout):
    checkout = new_checkout("keystead")
    checkout.run("bootstrap")
    return checkout


# Packages.


def packages(is_installed: str) -> str:
    """A dpkg-query, asked with -Wf FORMAT PACKAGE..., that has what a test of the shell says of `$it`."""
    return f"#!/bin/sh\nshift 2\nfor it; do [ {is_installed} ] && printf '%s=installed ' \"$it\"; done\n"


@pytest.fixture
def stubs(tmp_path):
    """A folder of commands that go before the machine's own: here nothing but bash is installed, and we are root."""
    (tmp_path / "dpkg-query").write_text(packages('"$it" = bash'))
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/calls"\n')
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    for name in ("dpkg-query", "apt-get", "id"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_who_is_not_root_is_told_the_one_line_to_run():
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(ROOT / "scripts", place / "scripts")
        (place / "dpkg-query").write_text(packages('"$it" != make ] && [ "$it" != xxd'))
        (place / "dpkg-query").chmod(0o755)
        prefix = []
        if os.geteuid() == 0:
            shutil.chown(place, "nobody", "nogroup")
            prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        done = subprocess.run(
            [*prefix, place / "scripts" / "bootstrap"],
            env={"PATH": f"{place}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "Some packages are missing. Run this, then try again:",
            "  sudo apt-get install --no-install-recommends -y xxd make",
        ]
        assert done.stderr == ""
        assert not (place / ".venv").exists()


def test_root_has_them_installed(checkout, stubs):
    told = checkout.bash(". scripts/lib.sh; need_packages bash xxd make", PATH=f"{stubs}:/usr/bin:/bin").stdout
    assert told.startswith("Installing xxd make ... done (")
    assert (stubs / "calls").read_text().splitlines() == [
        "update -q",
        "install -q -y --no-install-recommends xxd make",
    ]


def test_where_there_is_no_dpkg_the_set_up_goes_on(checkout, tmp_path):
    told = checkout.bash(f". scripts/lib.sh; PATH={tmp_path}; need_packages xxd").stdout
    assert told.startswith("This is no Debian")


# The choice of SoftHSM2.


@pytest.fixture
def choose(checkout):
    """Ask scripts/softhsm/module anew."""

    def choose(module="", **environment) -> subprocess.CompletedProcess[str]:
        return checkout.bash("scripts/softhsm/module", KEYSTEAD_SOFTHSM_MODULE=str(module), **environment)

    yield choose
    choose()


def test_a_library_that_passes_the_probe_is_used(choose, tmp_path, checkout):
    good = tmp_path / "a good one.so"
    shutil.copy(softhsm_module(), good)
    assert choose(good).stdout == f"{good}\n"
    # The answer is kept, as long as the question is the same.
    log = checkout.home / "log" / "setup.log"
    size = log.stat().st_size
    assert choose(good).stdout == f"{good}\n"
    assert log.stat().st_size == size
    assert choose().stdout != f"{good}\n"


def test_a_library_that_fails_the_probe_is_not_used(choose, tmp_path, shim_library, checkout):
    # As SoftHSM 2.6.1 of Debian answers to RSA-OAEP with SHA-256.
    rules = tmp_path / "rules"
    rules.write_text("C_UnwrapKey before 7 09999\n")
    usual = choose().stdout
    done = choose(shim_library, SHIM_MODULE=str(softhsm_module()), SHIM_RULES=str(rules))
    assert done.stdout == usual
    assert done.stderr == (
        f"KEYSTEAD_SOFTHSM_MODULE: {shim_library} cannot do the job, and is left alone; "
        "why is in .keystead/log/setup.log.\n"
    )
    assert "FAIL RSA-OAEP with SHA-256" in (checkout.home / "log" / "setup.log").read_text()
    # The same library without a fault is good: it was the fault that was found.
    rules.write_text("")
    (checkout.home / "softhsm" / "module").unlink()
    assert choose(shim_library, SHIM_MODULE=str(softhsm_module()), SHIM_RULES=str(rules)).stdout == f"{shim_library}\n"


@pytest.mark.parametrize("library", [LIBC, Path("/etc/hostname"), Path("/no/where.so")])
def test_what_is_no_pkcs11_library_is_not_used(choose, library):
    done = choose(library)
    assert f"{library} cannot do the job" in done.stderr
    assert Path(done.stdout.strip()).name == "libsofthsm2.so"


def test_settings_and_tests_get_the_whole_path_of_a_library(checkout, choose, tmp_path):
    good = tmp_path / "elsewhere.so"
    shutil.copy(softhsm_module(), good)
    command = ". scripts/lib.sh; softhsm_module"
    assert checkout.bash(command, KEYSTEAD_SOFTHSM_MODULE=str(good)).stdout == f"{good}\n"
    inside = Path(checkout.bash(command).stdout.strip())
    assert inside.is_absolute()
    assert inside.is_file()


# Interruptions.


@pytest.mark.parametrize("left", ["pin", "tokens.new", "softhsm2.new.conf"])
def test_a_token_that_was_half_made_is_made_anew(checkout, left):
    token = checkout.home / "token"
    shutil.rmtree(token)
    token.mkdir()
    if left == "tokens.new":
        (token / left / "0-0-0-0").mkdir(parents=True)
        (token / left / "0-0-0-0" / "token.object").touch()
    (token / "pin").write_text("half")
    (token / left).exists() or (token / left).touch()
    assert "Making a token with a random PIN ... done" in checkout.run("bootstrap").stdout
    assert sorted(file.name for file in token.iterdir()) == ["pin", "so_pin", "softhsm2.conf", "tokens"]
    checkout.bash(".venv/bin/keystead hsm probe --config .keystead/keystead.toml")
    assert checkout.run("bootstrap").stdout == ""


def test_two_set_ups_wait_for_each_other(checkout, tmp_path):
    with subprocess.Popen(["flock", checkout.root / ".keystead.lock", "cat"], stdin=subprocess.PIPE) as holder:
        eventually(lambda: "FLOCK" in _locks(checkout.root / ".keystead.lock"), "the lock is held")
        second = checkout.start("bootstrap")
        assert second.stdout.readline() == "Another set-up is running in this checkout; waiting for it.\n"
        holder.stdin.close()
    second.communicate()
    assert second.returncode == 0


def _locks(file: Path) -> str:
    inode = f":{file.stat().st_ino} "
    return "".join(line for line in Path("/proc/locks").read_text().splitlines() if inode in line)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_set_up_that_is_interrupted_anywhere_is_finished_by_the_next_run(new_checkout, tmp_path):
    checkout = new_checkout("from scratch", borrows=False)
    for name in ("HOME", "http_proxy", "https_proxy", "CI"):
        checkout.environment.pop(name)
    checkout.environment.update({name: value for name, value in os.environ.items() if name not in checkout.environment})
    checkout.environment.pop("KEYSTEAD_SOFTHSM_MODULE", None)
    build = checkout.home / "log" / "setup.log"
    interruptions = [
        ("Making the virtual environment", (checkout.root / ".venv" / "bin" / "python").exists),
        ("Installing requirements/runtime.txt", lambda: any(checkout.root.glob(".venv/lib/*/site-packages/google"))),
        ("Building SoftHSM2", lambda: "checking for" in build.read_text()),
    ]
    for step, is_under_way in interruptions:
        process = checkout.start("run", "--detach")
        told = ""
        while step not in told:
            character = process.stdout.read(1)
            assert character, told
            told += character
        eventually(is_under_way, f"{step} is under way", patience=120)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
        assert process.returncode != 0
        assert not (checkout.home / "keystead.toml").exists()
    # What is built is put in its place when it is whole. To build it once more would only take long.
    assert not list((checkout.home / "softhsm").rglob("*.so*"))
    checkout.borrow_softhsm()
    told = checkout.run("run", "--detach").stdout
    assert " serving on " in told
    assert checkout.run("demo").stdout.endswith("The demo is complete.\n")
    assert checkout.run("stop").stdout == "Keystead is stopped.\n"
