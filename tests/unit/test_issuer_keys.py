"""An issuer's keys: which may verify, how they are read, and for how long they are good."""

import json
import os
import ssl
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server.cli.dev_pki import DevelopmentCa
from server.domain.errors import IssuerUnavailableError
from server.people.issuer_keys import IssuerKeys, KeyTimes
from server.people.key_sets import KEYS_LIMIT, keys_in
from server.people.reading import SIZE_LIMIT, ReadingError, read_file, read_url
from server.people.terms import demand_safe_url
from tests.support.jwts import Signer, b64, key_set
from tests.support.oidc_provider import provider
from tests.support.service import eventually

RSA, EC, NEXT = Signer(), Signer("ES256"), Signer()
TIMES = KeyTimes(refresh=300, lifetime=3600, pause=10, patience=5)


# Key sets.


def test_keys_are_known_by_their_ids_and_those_that_cannot_be_used_are_left_out():
    left_out = [
        {**RSA.jwk(), "kid": "encrypts", "use": "enc"},
        {**RSA.jwk(), "kid": "signs", "key_ops": ["sign"]},
        {**RSA.jwk(), "kid": "private", "d": "AQAB"},
        {**RSA.jwk(), "kid": "no modulus", "n": None},
        {**RSA.jwk(), "kid": "even", "n": b64(b"\x80" + bytes(255)), "e": "Ag"},
        {**RSA.jwk(), "kid": ""},
        {**RSA.jwk(), "kid": 7},
        {**RSA.jwk(), "kid": "x" * 257},
        {"kty": "oct", "kid": "secret", "k": b64(os.urandom(32))},
        {"kty": "OKP", "kid": "other", "crv": "Ed25519", "x": b64(os.urandom(32))},
        {**EC.jwk(), "kid": "no curve", "crv": "P-0"},
        {**EC.jwk(), "kid": "no point", "x": b64(bytes(32)), "y": b64(bytes(31) + b"\x01")},
        Signer(kid="small", bits=1024).jwk(),
        {"kid": "nothing"},
    ]
    document = json.dumps({"keys": [RSA.jwk(), *left_out, EC.jwk(), "no key"]}).encode()
    assert set(keys_in(document)) == {RSA.kid, EC.kid}


def test_an_id_that_two_keys_have_names_neither():
    twice = Signer(kid=RSA.kid)
    assert set(keys_in(key_set(RSA.jwk(), twice.jwk(), EC.jwk()))) == {EC.kid}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        key_set(),
        key_set(*[RSA.jwk()] * (KEYS_LIMIT + 1)),
        key_set({"kty": "oct", "kid": "secret", "k": "AAAA"}),
        b'{"keys": [], ' + key_set(RSA.jwk())[1:],
        key_set(RSA.jwk()).decode().encode("utf-16"),
    ],
)
def test_what_is_no_set_of_usable_keys_is_refused(document):
    with pytest.raises(ReadingError):
        keys_in(document)


# How long keys are good.


class World:
    """An issuer that can go away, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.published: bytes | None = key_set(RSA.jwk())
        self.readings = 0
        self.keys = IssuerKeys("https://test", self._read, TIMES, lambda: self.now)

    def _read(self) -> bytes:
        self.readings += 1
        if self.published is None:
            raise ReadingError("it is gone")
        return self.published


def test_a_key_that_is_withdrawn_is_gone_with_the_next_reading_and_a_new_one_is_there():
    world = World()
    world.keys.read()
    assert world.keys.find(RSA.kid)
    world.published = key_set(NEXT.jwk())
    world.keys.read()
    assert world.keys.find(RSA.kid) is None
    assert world.keys.find(NEXT.kid)


def test_the_last_keys_are_good_for_their_lifetime_when_the_issuer_is_gone_and_no_longer(caplog):
    world = World()
    world.keys.read()
    world.published = None
    world.now = TIMES.lifetime - 1
    world.keys.read()
    assert world.keys.find(RSA.kid)
    with pytest.raises(IssuerUnavailableError):
        world.keys.find("another")  # It may be a new one: nobody can say.
    world.now = TIMES.lifetime
    world.keys.read()
    with pytest.raises(IssuerUnavailableError):
        world.keys.find(RSA.kid)
    faults = [(it.detail, it.in_force) for it in caplog.records if it.msg == "issuer_keys_not_read"]
    assert faults == [("it is gone", "the last good ones")]
    world.published = key_set(RSA.jwk())
    world.keys.read()
    assert world.keys.find(RSA.kid)


def test_a_document_that_cannot_be_used_leaves_the_last_keys():
    world = World()
    world.keys.read()
    world.published = b"<html>"
    world.keys.read()
    assert world.keys.find(RSA.kid)


def test_an_unknown_id_has_the_keys_read_again_at_once_but_not_more_often_than_the_pause():
    world = World()
    with world.keys.kept():
        eventually(lambda: world.readings == 1, "they are read at the start")
        eventually(world.keys._good, "they are known")
        world.published = key_set(RSA.jwk(), NEXT.jwk())
        assert world.keys.find(NEXT.kid) is None
        assert world.readings == 1
        world.now = TIMES.pause
        assert world.keys.find(NEXT.kid)
        assert world.readings == 2
        for number in range(100):
            assert world.keys.find(f"forged-{number}") is None
        assert world.readings == 2


def test_only_one_caller_waits_for_a_reading_and_the_others_are_told_to_come_again():
    world = World()
    world.keys.read()
    began, may_end = threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        assert may_end.wait(30)
        return key_set(RSA.jwk(), NEXT.jwk())

    world.keys._read = slow
    world.now = TIMES.pause
    with world.keys.kept():
        assert began.wait(30)
        with pytest.raises(IssuerUnavailableError):
            world.keys.find(NEXT.kid)
        assert world.keys.find(RSA.kid), "who has a known key is not held up"
        may_end.set()
        eventually(lambda: NEXT.kid in world.keys._good(), "it is read")
        assert world.keys.find(NEXT.kid)


# Reading.


@pytest.mark.parametrize(
    "url",
    ["https://login.example.com/jwks", "https://login.example.com:8443", "http://127.0.0.1:80/x", "http://[::1]:1/"],
)
def test_https_is_safe_and_so_is_this_machine(url):
    demand_safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jwks.json",
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://example.com/jwks",
        "http://127.0.0.1.example.com/",
        "https:///jwks",
        "https://user:word@example.com/",
        "https://example.com/?a=b",
        "https://example.com/#a",
        "https://example.com/a b",
        "https://example.com/\r\nHost: evil",
        "https://example.com:port/",
        "https://exämple.com/",
    ],
)
def test_other_urls_are_not(url):
    with pytest.raises(ValueError):  # noqa: PT011 - what a setting's check may raise
        demand_safe_url(url)


@pytest.fixture(scope="module")
def issuer():
    with provider() as running:
        yield running


def test_what_a_url_publishes_is_read_and_nothing_else_is_taken_for_it(issuer, monkeypatch):
    monkeypatch.setattr("server.people.reading.PATIENCE", 1.0)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url = issuer.discovered["jwks_uri"]
    assert keys_in(read_url(url))
    for manners, told in {
        "moved": "status 302",
        "endless": f"longer than {SIZE_LIMIT} bytes",
        "slow": "TimeoutError",
    }.items():
        issuer.behave(manners)
        began = time.monotonic()
        with pytest.raises(ReadingError, match=told):
            read_url(url)
        assert time.monotonic() - began < 5
    issuer.behave("good")
    with pytest.raises(ReadingError, match="status 404"):
        read_url(url + "2")
    with pytest.raises(ReadingError):
        read_url(url.replace("http:", "https:"))
    with pytest.raises(ReadingError, match="refused"):
        read_url("http://127.0.0.1:1/")


def test_a_host_is_believed_by_its_certificate(tmp_path):
    authority, other = DevelopmentCa(tmp_path / "pki"), DevelopmentCa(tmp_path / "other")
    authority.ensure()
    other.ensure()
    (tmp_path / "jwks").write_bytes(key_set(RSA.jwk()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pki/server.pem", tmp_path / "pki/server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_address[1]}/jwks"
        assert keys_in(read_url(url, authority.certificate_file))
        for wrong in (other.certificate_file, None):
            with pytest.raises(ReadingError, match="CERTIFICATE_VERIFY_FAILED"):
                read_url(url, wrong)
    finally:
        server.shutdown()
        server.server_close()


def test_a_file_is_read_within_the_same_bound(tmp_path):
    file = tmp_path / "jwks.json"
    with pytest.raises(ReadingError, match="No such file"):
        read_file(file)
    file.write_bytes(b" " * (SIZE_LIMIT + 1))
    with pytest.raises(ReadingError, match="longer"):
        read_file(file)
    file.write_bytes(key_set(RSA.jwk()))
    assert keys_in(read_file(file))
