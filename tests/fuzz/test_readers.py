"""What reads input from outside: whatever that is, a value or the promised exception comes of it, and nothing else."""

import base64
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.cli.bearer_tokens import TokenFileError, bearer_token
from server.domain import ids
from server.domain.content_keys import WrappedContentKey, associated_data
from server.domain.errors import (
    BearerTokenExpiredError,
    BearerTokenRejectedError,
    InvalidFieldError,
    MalformedNameError,
    WrappedKeyRejectedError,
)
from server.grpc_api.policy import Policy, PolicyError
from server.people.issuer_keys import IssuerKeys, KeyTimes
from server.people.key_sets import keys_in
from server.people.people import Issuer, People
from server.people.reading import ReadingError
from server.people.terms import ALGORITHMS
from server.settings import SettingsError, load_settings
from server.use_cases.paging import PageRequest
from tests.support.damage import damaged, json_values, toml_lines, words
from tests.support.jwts import Signer, b64, claims_of, key_set, made
from tests.support.made_messages import blobs, texts

some = settings(max_examples=80, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
ID = "0123456789abcdef0123456789abcdef"


# What callers of the API send.


@some
@given(blobs() | damaged(b"\x01" + bytes(76)))
def test_wrapped_content_keys(wrapped):
    with suppress(WrappedKeyRejectedError):
        assert WrappedContentKey.parse(wrapped).to_bytes() == wrapped


@some
@given(st.dictionaries(texts(), texts(), max_size=70))
def test_contexts(context):
    with suppress(InvalidFieldError):
        associated_data(ids.OrganizationId("acme"), ids.ObjectId(ID), context)


NAMES = {
    ids.OrganizationName: "",
    ids.WrappingKeyName: f"/wrappingKeys/{ID}",
    ids.MainKeyName: "/mainKeys/common",
    ids.KekName: f"/keks/{ID}",
    ids.RotationName: f"/rotations/{ID}",
    ids.AuditEventName: "/auditEvents/17",
    ids.ApprovalName: f"/approvals/{ID}",
    ids.ApprovalRuleName: "/approvalRule",
}


def test_all_kinds_of_names_are_tried():
    kinds = {it for it in vars(ids).values() if isinstance(it, type) and hasattr(it, "parse") and it is not ids._Child}
    assert set(NAMES) == kinds


@pytest.mark.parametrize("kind", NAMES)
def test_names(kind):
    good = f"organizations/acme{NAMES[kind]}"

    @some
    @given(texts() | damaged(good.encode()).map(lambda it: it.decode(errors="replace")))
    @example(good)
    def read(name):
        with suppress(MalformedNameError):
            assert str(kind.parse(name)) == name

    read()


@some
@given(texts() | st.binary(max_size=30).map(lambda it: base64.urlsafe_b64encode(it).decode()))
def test_page_tokens(token):
    page = PageRequest(0, token)
    for last in (lambda: page.last_id, lambda: page.last_number):
        with suppress(InvalidFieldError):
            last()


# Whom people say that they are.


ISSUER = "https://login.example.com"
SIGNER = Signer("ES256")


def people() -> People:
    keys = IssuerKeys(ISSUER, lambda: key_set(SIGNER.jwk()), KeyTimes(300, 3600), lambda: 0.0)
    keys.read()
    issuers = [Issuer(ISSUER, "keystead", frozenset(ALGORITHMS), keys)]
    return People(issuers, skew=timedelta(0), clock=lambda: datetime.now(UTC), monotonic=time.monotonic)


PEOPLE = people()
CLAIMS = ("iss", "aud", "sub", "iat", "exp", "nbf", "jti", "groups")
HEADERS = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "cty", "zip", "enc")


def prove(token: str) -> None:
    with suppress(BearerTokenRejectedError, BearerTokenExpiredError):
        assert PEOPLE.person(token).identity.startswith(f"oidc:{ISSUER}#")


@some
@given(texts() | damaged(SIGNER.token(claims_of(ISSUER)).encode()).map(lambda it: it.decode(errors="replace")))
def test_bearer_tokens(token):
    prove(token)


@some
@given(
    st.dictionaries(st.sampled_from(CLAIMS), json_values(), max_size=3),
    st.dictionaries(st.sampled_from(HEADERS), json_values(), max_size=2),
)
@example({"exp": 10**400}, {})
@example({"iat": -(10**400), "exp": 10**400}, {})
@example({"iat": 1e308, "exp": 1e308}, {})
@example({"nbf": 10**400}, {})
@example({"aud": [[]]}, {"kid": ""})
def test_signed_tokens_that_say_anything(claims, header):
    prove(SIGNER.token(claims_of(ISSUER, **claims), **header))


@some
@given(st.binary(max_size=100), damaged(json.dumps(claims_of(ISSUER)).encode()))
def test_signed_tokens_of_any_bytes(header, claims):
    prove(made({"alg": "ES256", "kid": SIGNER.kid}, claims, SIGNER.sign))
    prove(made(header, claims, SIGNER.sign))


JWK_PARTS = ("kty", "kid", "n", "e", "crv", "x", "y", "alg", "use", "key_ops", "d", "x5c")
NUMBERS = st.binary(max_size=300).map(b64) | st.sampled_from(["RSA", "EC", "P-256", "AQAB", "é", "=", "!"])


@some
@given(
    st.sampled_from([SIGNER, Signer()]),
    st.dictionaries(st.sampled_from(JWK_PARTS), NUMBERS | json_values(), max_size=3),
    json_values(),
)
def test_key_sets(signer, parts, other):
    for entries in ([signer.jwk(**parts)], [other, signer.jwk(**parts)], [parts]):
        with suppress(ReadingError):
            assert keys_in(json.dumps({"keys": entries}).encode())


@some
@given(damaged(key_set(SIGNER.jwk())) | json_values().map(lambda it: json.dumps(it).encode()) | st.binary(max_size=60))
@example(b"[" * 100_000)
@example(b'{"keys":' * 20_000)
@example(b'{"keys": ' + b"1" * 5000 + b"}")
def test_documents_that_should_be_key_sets(document):
    with suppress(ReadingError):
        assert keys_in(document)


# Files.


VISIBLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
POLICY = """\
[[grants]]
identity = "spiffe://example.com/files"
role = "service"
organizations = ["acme", "globex"]
person = "oidc:https://login.example.com#alice"

[[people]]
issuer = "https://login.example.com"
claim = "groups"
value = "keystead"
role = "auditor"
organizations = ["acme"]
"""
SETTINGS = """\
[server]
address = "127.0.0.1:7443"
workers = 2
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "ca.pem"
[policy]
file = "policy.toml"
[database]
url = "sqlite:///keystead.db"
[hsm]
module = "module.so"
token_label = "keystead"
pin_file = "pin"
hang_warning = "PT10S"
[life]
revocation_bound = 5
wrapping_key_algorithm = "RSA_OAEP_3072_SHA256"
[[people.issuers]]
issuer = "https://login.example.com"
audience = "keystead"
jwks_url = "https://login.example.com/jwks"
"""


@pytest.mark.parametrize(
    ("text", "read", "promised"),
    [(POLICY, Policy, PolicyError), (SETTINGS, load_settings, SettingsError)],
    ids=["policy", "settings"],
)
def test_files_that_an_operator_writes(tmp_path, text, read, promised):
    file = tmp_path / "file.toml"

    @some
    @given(damaged(text.encode()) | toml_lines(text) | st.binary(max_size=60))
    @example(text.encode())
    @example(b"a = " + b"[" * 100_000)
    @example(b"a." * 2000 + b"b = 1")
    @example(b"a = " + b"9" * 5000)
    def load(content):
        file.write_bytes(content)
        with suppress(promised):
            read(file)

    load()
    file.write_text(text)
    assert read(file)


def test_settings_in_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "file.toml"
    file.write_text(SETTINGS)

    @some
    @given(st.sampled_from(["PEOPLE__ISSUERS", "HSM", "HSM__SESSIONS", "LIFE__RETIRED_LIFETIME"]), words() | VISIBLE)
    @example("PEOPLE__ISSUERS", "[" * 100_000)
    @example("PEOPLE__ISSUERS", "no JSON")
    def load(name, value):
        with monkeypatch.context() as patch, suppress(SettingsError):
            patch.setenv(f"KEYSTEAD_{name}", value)
            load_settings(file)

    load()


def test_files_of_bearer_tokens(tmp_path):
    file = tmp_path / "token"
    file.touch(0o600)

    @some
    @given(st.binary(max_size=60) | damaged(SIGNER.token(claims_of(ISSUER)).encode()))
    def load(content):
        file.write_bytes(content)
        with suppress(TokenFileError):
            assert bearer_token(file).isascii()

    load()
