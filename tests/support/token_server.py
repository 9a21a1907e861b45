"""A token in another process than Keystead's: p11-kit's server has SoftHSM2, and Keystead p11-kit's module."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.token import ROOT, softhsm_module

P11_KIT = ROOT / ".keystead/p11-kit"
PROXY = P11_KIT / "p11-kit-client.so"
"""The module that Keystead is to be given."""


class TokenServer:
    """Its processes: one for each process that uses the token."""

    def __init__(self, pid: int, hold: Path) -> None:
        self._pid = pid
        self._hold = hold

    def pids(self) -> list[int]:
        command = ["ps", "--ppid", str(self._pid), "-o", "pid="]
        return [int(it) for it in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]

    @contextmanager
    def holding_aes_kw(self) -> Iterator[None]:
        """Hold whatever process wraps or unwraps with AES-KW in the middle of it, until the block ends."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    def held(self) -> list[int]:
        """Return the ids of the processes that are held."""
        return [int(it) for it in self._hold.read_text().split()]


@contextmanager
def token_server(token: Path, folder: Path) -> Iterator[TokenServer]:
    """Have a server of the token in a folder; what is started in the block is told where it is.

    Args:
        token: of make_token, whose library is not used.
        folder: of the server's own.
    """
    assert PROXY.exists(), "p11-kit is missing: run scripts/test, which builds it."
    before_openssl, hold = folder / "hold.so", folder / "hold"
    source = Path(__file__).parent / "aes_kw_hold.c"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wl,--no-as-needed", "-lcrypto"]  # OpenSSL, to be found behind it.
    subprocess.run(["gcc", *options, "-o", before_openssl, source], check=True)
    its_own = {
        "LD_LIBRARY_PATH": str(P11_KIT),
        "P11_KIT_PRIVATEDIR": str(P11_KIT),
        "LD_PRELOAD": str(before_openssl),
        "AES_KW_HOLD": str(hold),
        "SOFTHSM2_CONF": str(token / "softhsm2.conf"),
    }
    socket = folder / "socket"
    command = [P11_KIT / "p11-kit-server", "-f", "-n", socket, "--provider", softhsm_module(), "pkcs11:"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P11_KIT_SERVER_ADDRESS", f"unix:path={socket}")
        server = subprocess.Popen(command, env={**os.environ, **its_own}, stdout=subprocess.PIPE)
        assert server.stdout is not None
        try:
            assert b"P11_KIT_SERVER_ADDRESS" in server.stdout.readline()  # It listens.
            yield TokenServer(server.pid, hold)
        finally:
            server.terminate()
            server.wait(10)
            server.stdout.close()
