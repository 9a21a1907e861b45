"""A small OpenID Connect provider on loopback, as a process of its own: discovery, keys, tokens, and bad manners."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.jwts import Signer, claims_of, key_set
from tests.support.token import ROOT

AUDIENCE = "keystead"


class Handler(BaseHTTPRequestHandler):
    """Answers for the provider that the process is."""

    signers: list[Signer]
    manners = "good"
    readings = 0

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def do_GET(self) -> None:
        if self.path == "/.well-known/openid-configuration":
            self._answer({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"})
        elif self.path == "/readings":
            self._answer(Handler.readings)
        elif self.path == "/jwks":
            Handler.readings += 1
            self._keys()
        else:
            self.send_error(404)

    def _keys(self) -> None:
        keys = key_set(*(it.jwk() for it in Handler.signers))
        match Handler.manners:
            case "good":
                self._send(keys)
            case "moved":
                self.send_response(302)
                self.send_header("Location", f"{self.issuer}/.well-known/openid-configuration")
                self.end_headers()
            case "endless":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b" " * 1024 * 1024)
            case "slow":
                self.send_response(200)
                self.end_headers()
                for _ in range(600):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)
            case "garbage":
                self._send(b"<html>")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path:
            case "/token":
                claims = claims_of(self.issuer, AUDIENCE, **asked)
                self._answer(Handler.signers[-1].token(claims))
            case "/rotate":
                Handler.signers = [*Handler.signers[len(Handler.signers) * asked["forget"] :], Signer(asked["with"])]
                self._answer(None)
            case "/manners":
                Handler.manners = asked
                self._answer(None)

    def _answer(self, told: object) -> None:
        self._send(json.dumps(told).encode())

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Provider:
    """A running provider, as tests see it."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.support.oidc_provider", str(port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self.discovered = self._get("/.well-known/openid-configuration")

    def token(self, **claims) -> str:
        """Sign somebody in."""
        return self._post("/token", claims)

    def rotate(self, algorithm: str = "RS256", *, forget: bool = False) -> None:
        """Sign with another key from now on, and perhaps take back all that were before."""
        self._post("/rotate", {"with": algorithm, "forget": forget})

    def behave(self, manners: str) -> None:
        self._post("/manners", manners)

    def readings(self) -> int:
        """How often its keys were asked for."""
        return self._get("/readings")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _get(self, path: str):
        return self._open(self.url + path)

    def _post(self, path: str, asked: object):
        return self._open(self.url + path, json.dumps(asked).encode())

    @staticmethod
    def _open(url: str, asked: bytes | None = None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, asked, timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def provider() -> Iterator[Provider]:
    running = Provider()
    try:
        yield running
    finally:
        running.stop()


def main() -> None:
    Handler.signers = [Signer()]
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
