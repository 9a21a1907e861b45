"""One recording of the main job, made by OpenSC's pkcs11-spy between the adapter and the token."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.library import CryptokiError
from hsm_adapter.templates import Role
from server.bootstrap import opened
from server.storage import migrate
from tests.support.lifecycle import Lifecycle
from tests.support.parts import settings_without_network
from tests.support.spy_log import Call, parse
from tests.support.spy_rules import Violation, violations
from tests.support.token import make_token


@dataclass
class Recording:
    """What was recorded, and the token that it was recorded of, still open."""

    log: Path
    text: bytes
    """The spy's log of the lifecycle."""
    calls: list[Call]
    """The same, parsed."""
    lifecycle: Lifecycle
    rows: bytes
    """The files of the database."""
    pin: bytes

    def also(self, deed: Callable[[Cryptoki, int, int], object]) -> "Addition":
        """Do something with the module, a session and the main key in charge, and return what that added."""
        token = self.lifecycle.parts.custody._token
        before = self.log.read_bytes()
        with token._pool.lease() as session:
            main_key = token._objects.find(session, Role.MAIN_KEY, bytes.fromhex(self.lifecycle.in_charge))
            session.broken = True  # What the deed leaves behind ends with its session.
            with suppress(CryptokiError):  # That the token refuses it does not make it a call that we may make.
                deed(token._cryptoki, session.handle, main_key)
        after = self.log.read_bytes()
        calls, known = parse(after), len(parse(before))
        new = [violation for violation in violations(calls) if violation.number >= known]
        return Addition(after[len(before) :], calls[known:], new)


@dataclass
class Addition:
    """What was recorded of one deed after the lifecycle."""

    text: bytes
    calls: list[Call]
    violations: list[Violation]


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Iterator[Recording]:
    folder = tmp_path_factory.mktemp("recording")
    real = make_token(folder)
    spies = sorted(Path("/usr/lib").glob("*/pkcs11-spy.so"))
    assert spies, "pkcs11-spy is missing: run scripts/test, which installs it."
    spy, log = folder / "spy.so", folder / "spy.log"
    shutil.copy(spies[0], spy)
    settings = settings_without_network(folder, spy)
    migrate(settings.database.url.get_secret_value())
    with ExitStack() as kept:
        with pytest.MonkeyPatch.context() as patch:
            # Each is read once, by the spy or the token, when the token is opened.
            patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
            patch.setenv("PKCS11SPY", str(real.module_path))
            patch.setenv("PKCS11SPY_OUTPUT", str(log))
            lifecycle = Lifecycle(kept.enter_context(opened(settings)))
            lifecycle.live()
        text = log.read_bytes()
        rows = b"".join(path.read_bytes() for path in sorted(folder.glob("keystead.db*")))
        yield Recording(log, text, parse(text), lifecycle, rows, (folder / "pin").read_bytes().strip())
