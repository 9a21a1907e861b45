"""Bearer tokens: which prove somebody, and all the others."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.domain.errors import BearerTokenExpiredError, BearerTokenRejectedError, IssuerUnavailableError
from server.people.issuer_keys import IssuerKeys, KeyTimes
from server.people.people import TOKEN_LIMIT, Issuer, People
from server.people.reading import ReadingError
from server.people.terms import ALGORITHMS
from tests.support.jwts import Signer, claims_of, key_set, made, with_secret

ISSUER, OTHER = "https://login.example.com", "https://other.example.com"
RSA, PSS, EC = Signer(), Signer("PS256"), Signer("ES256")
THEIRS = Signer()
AS_PSS = Signer("PS256", private=RSA.private)
SKEW = 30


def people(*entries: dict, algorithms=("RS256", "PS256", "ES256")) -> People:
    """People of one issuer with these keys, and of another one."""
    issuers = []
    for url, published in ((ISSUER, entries or (RSA.jwk(), PSS.jwk(), EC.jwk())), (OTHER, (THEIRS.jwk(),))):
        # By a clock that stands still: the keys do not grow old while other tests run.
        keys = IssuerKeys(url, lambda published=published: key_set(*published), KeyTimes(300, 3600), lambda: 0.0)
        keys.read()
        issuers.append(Issuer(url, "keystead", frozenset(algorithms), keys))
    clock = lambda: datetime.now(UTC)  # noqa: E731 - a clock
    return People(issuers, skew=timedelta(seconds=SKEW), clock=clock, monotonic=time.monotonic)


PEOPLE = people()


def claims(**more) -> dict:
    return claims_of(ISSUER, **more)


def now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def without(name: str) -> str:
    return RSA.token(claims(**{name: None}))


def raw(header: dict, body: dict | bytes, signer: Signer = RSA) -> str:
    return made({"alg": "RS256", "kid": RSA.kid, **header}, body, signer.sign)


def swapped(token: str, other: str) -> str:
    """The first token, with the claims of the other."""
    header, _, signature = token.split(".")
    return f"{header}.{other.split('.')[1]}.{signature}"


def pem() -> bytes:
    return RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("signer", [RSA, PSS, EC], ids=lambda it: it.algorithm)
def test_a_token_of_the_issuer_proves_the_person_and_what_is_said_of_her(signer):
    person = PEOPLE.person(signer.token(claims(groups=["a", "b"], team="c", level=3)))
    assert person.identity == f"oidc:{ISSUER}#alice"
    assert person.says("groups", "b")
    assert person.says("team", "c")
    assert not any(person.says(*it) for it in (("groups", "c"), ("team", "b"), ("level", "3"), ("nothing", "b")))
    assert "groups" not in repr(person)


@pytest.mark.parametrize(
    ("header", "more"),
    [
        # The claims are made when they are used: these lines are read long before, when many tests are run.
        ({"typ": "at+jwt"}, dict),
        ({"typ": "application/AT+JWT"}, dict),
        ({"x5t": "abc"}, dict),
        ({}, lambda: {"aud": ["others", "keystead"]}),
        ({}, lambda: {"nbf": now(-5), "exp": now(5) + 0.5}),
        ({}, lambda: {"iat": now(SKEW - 10), "nbf": now(SKEW - 10)}),
        ({}, lambda: {"iat": now(-300), "exp": now(-SKEW + 10)}),
    ],
)
def test_tokens_of_every_usual_form_are_taken_and_clocks_may_differ_a_little(header, more):
    assert PEOPLE.person(RSA.token(claims(**more()), **header)).subject == "alice"


FORGED = {
    "empty": lambda: "",
    "garbage": lambda: "garbage",
    "two parts": lambda: RSA.token(claims()).rpartition(".")[0],
    "four parts": lambda: RSA.token(claims()) + ".e30",
    "no signature": lambda: RSA.token(claims()).rpartition(".")[0] + ".",
    "no base64": lambda: "a.b.c",
    "other characters": lambda: RSA.token(claims()) + "=",
    "no JSON": lambda: raw({}, b"claims"),
    "no object": lambda: raw({}, b"[]"),
    "nested deeply": lambda: raw({}, b"[" * 4000),
    "not UTF-8": lambda: raw({}, json.dumps(claims()).encode("utf-16")),
    "very long": lambda: RSA.token(claims(groups=["x" * TOKEN_LIMIT])),
    "a little too long": lambda: RSA.token(claims(groups=["x" * 5950])),
    "wrong key": lambda: raw({}, claims(), THEIRS),
    "changed": lambda: RSA.token(claims()).replace(".", ".e30", 1),
    "other claims": lambda: swapped(RSA.token(claims()), RSA.token(claims(sub="bob"))),
    "unknown issuer": lambda: RSA.token(claims(iss="https://evil.example.com")),
    "another issuer's key": lambda: THEIRS.token(claims()),
    "another issuer's name": lambda: RSA.token(claims(iss=OTHER)),
    "no issuer": lambda: without("iss"),
    "issuer as list": lambda: RSA.token(claims(iss=[ISSUER])),
    "issuer with a slash": lambda: RSA.token(claims(iss=ISSUER + "/")),
    "wrong audience": lambda: RSA.token(claims(aud="others")),
    "audience with more": lambda: RSA.token(claims(aud="keystead2")),
    "audience as object": lambda: RSA.token(claims(aud={"keystead": 1})),
    "empty audience": lambda: RSA.token(claims(aud=[])),
    "no audience": lambda: without("aud"),
    "no subject": lambda: without("sub"),
    "empty subject": lambda: RSA.token(claims(sub="")),
    "subject as number": lambda: RSA.token(claims(sub=7)),
    "subject with a line": lambda: RSA.token(claims(sub="alice\nbob")),
    "long subject": lambda: RSA.token(claims(sub="x" * 256)),
    "no end": lambda: without("exp"),
    "end as text": lambda: RSA.token(claims(exp=str(now(300)))),
    "end as true": lambda: RSA.token(claims(exp=True)),
    "never": lambda: raw({}, json.dumps(claims(exp="END")).replace('"END"', "1e999").encode()),
    "not a number": lambda: raw({}, json.dumps(claims(exp="END")).replace('"END"', "NaN").encode()),
    "good for days": lambda: RSA.token(claims(exp=now(25 * 3600))),
    "no issue": lambda: without("iat"),
    "issued later": lambda: RSA.token(claims(iat=now(120), exp=now(600))),
    "ends before it begins": lambda: RSA.token(claims(iat=now(10), exp=now(5))),
    "not yet": lambda: RSA.token(claims(nbf=now(120))),
    "not before as text": lambda: RSA.token(claims(nbf="0")),
    "no algorithm": lambda: made({"kid": RSA.kid}, claims(), RSA.sign),
    "algorithm none": lambda: made({"alg": "none", "kid": RSA.kid}, claims(), lambda _: b"x"),
    "algorithm None": lambda: raw({"alg": "None"}, claims()),
    "algorithm as list": lambda: raw({"alg": ["RS256"]}, claims()),
    "not set algorithm": lambda: raw({"alg": "RS512"}, claims()),
    "HS with the public key": lambda: made({"alg": "HS256", "kid": RSA.kid}, claims(), with_secret(pem())),
    "HS with the key's JSON": lambda: made(
        {"alg": "HS256", "kid": RSA.kid}, claims(), with_secret(json.dumps(RSA.jwk()).encode())
    ),
    "another algorithm of the key's kind": lambda: made({"alg": "PS256", "kid": RSA.kid}, claims(), AS_PSS.sign),
    "a key of another kind": lambda: made({"alg": "ES256", "kid": RSA.kid}, claims(), EC.sign),
    "no key": lambda: raw({"kid": None}, claims()),
    "key as a number": lambda: raw({"kid": 1}, claims()),
    "key as a path": lambda: raw({"kid": "../../../../dev/null"}, claims()),
    "key as a URL": lambda: raw({"kid": "https://evil.example.com/jwks#1"}, claims()),
    "key as SQL": lambda: raw({"kid": "' UNION SELECT 'key' --"}, claims()),
    "brings a key": lambda: raw({"jwk": THEIRS.jwk()}, claims(), THEIRS),
    "says where keys are": lambda: raw({"jku": "https://evil.example.com/jwks"}, claims()),
    "brings a certificate": lambda: raw({"x5c": ["abc"]}, claims()),
    "says where certificates are": lambda: raw({"x5u": "https://evil.example.com/x"}, claims()),
    "critical, though known": lambda: raw({"crit": ["kid"]}, claims()),
    "encoded as ever, and critical": lambda: raw({"b64": True, "crit": ["b64"]}, claims()),
    "critical": lambda: raw({"crit": ["exp"], "exp": 1}, claims()),
    "unencoded": lambda: raw({"b64": False, "crit": ["b64"]}, claims()),
    "of another kind": lambda: RSA.token(claims(), typ="logout+jwt"),
    "kind as a number": lambda: RSA.token(claims(), typ=1),
    "claim twice": lambda: raw({}, json.dumps(claims()).replace("{", '{"sub": "bob", ', 1).encode()),
    "algorithm twice": lambda: made(
        f'{{"alg": "none", "alg": "RS256", "kid": "{RSA.kid}"}}'.encode(), claims(), RSA.sign
    ),
}


@pytest.mark.parametrize("forged", FORGED)
def test_whatever_else_calls_itself_a_token_proves_nobody_and_is_told_one_and_the_same(forged):
    token = FORGED[forged]()
    with pytest.raises(BearerTokenRejectedError) as refused:
        PEOPLE.person(token)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("seconds", [SKEW + 1, 86400])
def test_a_token_whose_time_is_over_is_told_so_if_all_else_is_good(seconds):
    over = {"iat": now(-seconds - 60), "exp": now(-seconds)}
    with pytest.raises(BearerTokenExpiredError):
        PEOPLE.person(RSA.token(claims(**over)))
    for forged in (raw({}, claims(**over), THEIRS), RSA.token(claims(aud="others", **over))):
        with pytest.raises(BearerTokenRejectedError):
            PEOPLE.person(forged)


def test_a_token_may_be_as_long_as_is_told():
    token = RSA.token(claims(groups=["x" * 5600]))
    assert TOKEN_LIMIT - 200 < len(token) <= TOKEN_LIMIT
    assert PEOPLE.person(token)
    assert len(FORGED["a little too long"]()) < TOKEN_LIMIT + 500


def test_an_algorithm_that_the_issuer_is_not_set_to_is_refused():
    only = people(algorithms=("ES256",))
    assert only.person(EC.token(claims()))
    with pytest.raises(BearerTokenRejectedError):
        only.person(RSA.token(claims()))
    assert not any(it.startswith(("HS", "none")) for it in ALGORITHMS)


def test_the_log_says_why_and_neither_what_nor_too_often(caplog):
    caplog.set_level(logging.INFO)
    fresh = people()
    token = RSA.token(claims(aud="others"))
    for _ in range(3):
        with pytest.raises(BearerTokenRejectedError):
            fresh.person(token)
    (line,) = [it for it in caplog.records if it.msg == "bearer_token_refused"]
    assert line.why == "claims"
    assert not any(part in str(it.__dict__) for it in caplog.records for part in (*token.split("."), "alice"))


def test_a_key_that_is_not_known_because_the_issuer_does_not_answer_is_an_outage():
    def gone() -> bytes:
        raise ReadingError("it is gone")

    keys = IssuerKeys(ISSUER, gone, KeyTimes(300, 3600), time.monotonic)
    keys.read()
    nobody = People(
        [Issuer(ISSUER, "keystead", frozenset({"RS256"}), keys)],
        skew=timedelta(0),
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
    )
    with pytest.raises(IssuerUnavailableError):
        nobody.person(RSA.token(claims()))
