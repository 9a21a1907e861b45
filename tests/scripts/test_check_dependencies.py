"""What is pinned is asked for at a package index, here a folder: a release that was withdrawn or changed is told."""

import hashlib
import os
import subprocess
import zipfile

import pytest

from tests.support.token import ROOT

pytestmark = pytest.mark.slow

WHEEL = "thing-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
GOOD, BAD, TRY_AGAIN = 0, 1, 75


@pytest.fixture
def index(tmp_path):
    """The page of the one package that there is."""
    folder = tmp_path / "simple" / "thing"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("thing-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    page = folder / "index.html"
    page.write_text(f'<!DOCTYPE html><a href="{WHEEL}">{WHEEL}</a>')
    return page


@pytest.fixture
def check(index, tmp_path):
    """Return the status that the script ends with, and what it says, about a lock file that pins the package."""
    lock = tmp_path / "lock.txt"
    digest = hashlib.sha256((index.parent / WHEEL).read_bytes()).hexdigest()
    lock.write_text(f"thing==1.0 \\\n    --hash=sha256:{digest}\n")

    def check(url: str = f"file://{tmp_path}/simple") -> tuple[int, str]:
        settings = {"CONFIG_FILE": os.devnull, "INDEX_URL": url, "NO_CACHE_DIR": "1", "RETRIES": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        done = subprocess.run(
            [ROOT / "scripts/check_dependencies", "--offered", lock.name],
            cwd=tmp_path,
            env={**kept, **{f"PIP_{name}": value for name, value in settings.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return check


def test_a_release_that_is_offered_as_it_was_is_good(check):
    status, told = check()
    assert (status, "none was withdrawn" in told) == (GOOD, True), told


def test_one_that_was_withdrawn_is_not_though_it_can_be_had(check, index):
    index.write_text(index.read_text().replace("<a ", '<a data-yanked="it deletes files" '))
    status, told = check()
    assert (status, "it deletes files" in told, "was withdrawn" in told) == (BAD, True, True), told


def test_one_that_is_another_than_it_was_is_not(check, index):
    with zipfile.ZipFile(index.parent / WHEEL, "a") as wheel:
        wheel.writestr("more.py", "")
    status, told = check()
    assert (status, "is another" in told) == (BAD, True), told


def test_one_that_is_gone_is_not(check, index):
    index.write_text("<!DOCTYPE html>")
    status, told = check()
    assert (status, "not offered any more" in told) == (BAD, True), told


def test_an_index_that_does_not_answer_says_nothing_of_anything(check):
    status, told = check("http://127.0.0.1:9/simple")
    assert (status, "does not answer" in told) == (TRY_AGAIN, True), told
