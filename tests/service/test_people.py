"""People at a running service: the tokens of a real provider, what they may do, and who else may not."""

import os
import time

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from joserfc.jwk import JWKRegistry
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations

from server.domain.roles import ALLOWED, Operation, Role
from tests.support.every_rpc import METHODS, UNBOUND, outcome
from tests.support.jwts import Signer, claims_of, made, with_secret
from tests.support.people import CONSOLE, SHORT, believing
from tests.support.service import PATIENCE, eventually, refused
from tests.support.strangers import client_with, grant, grant_people, stranger, withdraw_people
from tests.support.stuck import stuck_rotation

pytestmark = pytest.mark.slow

OTHER = "spiffe://keystead.dev/operator"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with believing(tmp_path_factory.mktemp("people")) as world:
        yield world


# Who may do what.


PEOPLE = {
    "administrator": Role.ADMINISTRATOR,
    "auditor": Role.AUDITOR,
    "administrator through the console": Role.ADMINISTRATOR,
    "of no group": None,
    "of another issuer's group": None,
    "of an operator's name": None,
}


@pytest.fixture(scope="module")
def clients(world):
    return {
        "administrator": world.person(world.token("others", "admins")),
        "auditor": world.person(world.token("auditors")),
        "administrator through the console": stranger(world.service, CONSOLE, token=world.token("admins")),
        "of no group": world.person(world.token()),
        "of another issuer's group": world.person(world.token("strangers")),
        "of an operator's name": world.person(world.token(sub="spiffe://keystead.dev/operator")),
        "nobody": world.person(),
    }


@pytest.mark.parametrize("kind", PEOPLE)
def test_people_may_do_what_the_table_says_in_their_own_organisation_only(world, clients, kind):
    for name, method in METHODS.items():
        may = PEOPLE[kind] in ALLOWED[Operation(name)]
        assert outcome(clients[kind], method, world.own.id).is_forbidden == (not may), name
        unknown = f"unknown-{os.urandom(4).hex()}"
        elsewhere = [outcome(clients[kind], method, it) for it in (world.foreign.id, unknown)]
        if may and name in UNBOUND:
            assert not any(it.refusal for it in elsewhere)
        else:
            assert all(it.is_forbidden for it in elsewhere), name
            assert elsewhere[0].told == elsewhere[1].told != b""


def test_who_proves_nothing_is_told_nothing(world, clients):
    nobody, told = clients["nobody"], set()
    for method in METHODS.values():
        for organisation in (world.own.id, "unknown"):
            ended = outcome(nobody, method, organisation)
            assert (ended.refusal.code.name, ended.refusal.reason) == ("UNAUTHENTICATED", "NO_IDENTITY")
            told.add(ended.told)
    assert len(told) == 1
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        nobody.health.Check(HealthCheckRequest(), timeout=20)
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        next(nobody.health.Watch(HealthCheckRequest(), timeout=20))
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        ProtoReflectionDescriptorDatabase(nobody.channel).get_services()
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        nobody.channel.unary_unary("/keystead.v1.MainKeyService/Nothing")(b"", timeout=20)


def test_a_person_may_ask_for_health_and_what_there_is_whatever_the_policy_grants(clients):
    person = clients["of no group"]
    assert person.health.Check(HealthCheckRequest(), timeout=20).status == HealthCheckResponse.SERVING
    assert "keystead.v1.MainKeyService" in ProtoReflectionDescriptorDatabase(person.channel).get_services()
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        next(person.health.Watch(HealthCheckRequest(), timeout=20))
    with pytest.raises(grpc.RpcError) as caught:
        person.channel.unary_unary("/keystead.v1.MainKeyService/Nothing")(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Certificates and tokens.


def test_who_has_a_certificate_may_watch_health(world):
    stream = stranger(world.service, "spiffe://keystead.dev/nobody").health.Watch(HealthCheckRequest(), timeout=20)
    assert next(stream).status == HealthCheckResponse.SERVING
    stream.cancel()


def test_the_port_for_certificates_still_demands_one(world):
    with pytest.raises(grpc.RpcError) as caught:
        world.ask(client_with(world.service, token=world.token("admins")))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_counts_for_nothing_at_the_port_for_people(world):
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        world.ask(stranger(world.service, OTHER, address=world.address))
    assert world.ask(stranger(world.service, OTHER, address=world.address, token=world.token("admins")))


def test_a_console_is_nothing_by_itself_and_the_person_whose_token_it_has(world):
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        world.ask(stranger(world.service, CONSOLE))
    assert world.ask(stranger(world.service, CONSOLE, token=world.token("auditors")))
    with refused("UNAUTHENTICATED", "BEARER_TOKEN_REJECTED"):
        world.ask(stranger(world.service, CONSOLE, token="garbage"))


@pytest.mark.parametrize("groups", [("admins",), ()])
def test_any_other_certificate_with_a_token_is_nobody(world, groups):
    with refused("UNAUTHENTICATED", "AMBIGUOUS_IDENTITY"):
        world.ask(stranger(world.service, OTHER, token=world.token(*groups)))
    assert world.ask(stranger(world.service, OTHER))


def test_no_certificate_can_name_a_person(world):
    uri = f"oidc:{world.issuer.url}#alice"
    grant(world.service, uri, "administrator", world.own.id)
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        world.ask(stranger(world.service, uri))
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        world.ask(world.person(world.token()))  # Nor is a grant of an identity one of a person.


# Forged tokens.


def test_every_forged_token_is_refused_alike_and_none_is_ever_logged_or_traced(world):
    (published,) = world.issuer._get("/jwks")["keys"]
    public = JWKRegistry.import_key(published).public_key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kid, theirs, claims = published["kid"], Signer(), claims_of(world.issuer.url, groups=["admins"])
    good = world.token("admins")
    assert world.ask(world.person(), metadata=[("authorization", f"bEARER {good}")])
    forged = {
        "garbage": ["Bearer garbage"],
        "empty": ["Bearer "],
        "no scheme": [good],
        "another scheme": [f"Basic {good}"],
        "something more": [f"Bearer {good} more"],
        "twice": [f"Bearer {good}", f"Bearer {good}"],
        "none": [f"Bearer {made({'alg': 'none', 'kid': kid}, claims, lambda _: b'x')}"],
        "public key as secret": [f"Bearer {made({'alg': 'HS256', 'kid': kid}, claims, with_secret(pem))}"],
        "wrong key": [f"Bearer {Signer(kid=kid).token(claims)}"],
        "unknown key": [f"Bearer {theirs.token(claims)}"],
        "brings its key": [f"Bearer {theirs.token(claims, jwk=theirs.jwk(), kid=kid)}"],
        "wrong issuer": [f"Bearer {world.token('admins', iss='https://other.example.com')}"],
        "wrong audience": [f"Bearer {world.token('admins', aud='others')}"],
        "not yet": [f"Bearer {world.token('admins', nbf=int(time.time()) + 60)}"],
        "no subject": [f"Bearer {world.token('admins', sub=None)}"],
        "long": [f"Bearer {'x' * 10_000}"],
    }
    told = {kind: world.refusal(*headers) for kind, headers in forged.items()}
    assert {kind: it[0].reason for kind, it in told.items()} == dict.fromkeys(forged, "BEARER_TOKEN_REJECTED")
    assert len({str(it) for it in told.values()}) == 1
    refusal, _ = world.refusal(f"Bearer {'x' * 100_000}")
    assert refusal.code.name == "RESOURCE_EXHAUSTED"  # gRPC itself reads no more.
    over = world.token("admins", iat=int(time.time()) - 60, exp=int(time.time()) - 1)
    refusal, _ = world.refusal(f"Bearer {over}")
    assert refusal.reason == "BEARER_TOKEN_EXPIRED"
    eventually(lambda: len(world.collector.named("/GetOrganization")) > len(forged), "traces arrive")
    eventually(lambda: '"bearer_token_refused"' in world.service.log.read_text(), "the log says why")
    kept = world.service.log.read_text() + world.collector.everything().decode(errors="replace")
    sent = [*world.tokens, *(header.split()[-1] for headers in forged.values() for header in headers if "." in header)]
    for token in sent:
        for part in token.split("."):
            assert len(part) < 10 or part not in kept


# What changes.


def test_a_change_is_logged_with_the_persons_name(world):
    admin = world.person(world.token("admins", sub="carol"))
    admin.organizations.EnableByok(organizations.EnableByokRequest(name=world.own.name), timeout=20)
    named = f'"caller": "oidc:{world.issuer.url}#carol"'
    eventually(lambda: named in world.service.log.read_text(), "it is logged")


def watch(client, stuck):
    stream = client.rotations.WatchRotation(rotations.WatchRotationRequest(name=stuck.name), timeout=PATIENCE)
    assert next(stream).name == stuck.name
    return stream


def test_a_stream_ends_when_the_token_does_and_when_the_policy_says_so(world):
    org = world.service.new_organization()
    grant_people(world.service, world.issuer.url, "watchers", "auditor", org.id)
    with stuck_rotation(org) as stuck:
        ends = int(time.time()) + 2
        short = watch(world.person(world.token("watchers", exp=ends)), stuck)
        longer = watch(world.person(world.token("watchers")), stuck)
        with refused("UNAUTHENTICATED", "BEARER_TOKEN_EXPIRED"):
            list(short)
        assert ends <= time.time() < ends + 5
        assert next(longer)
        withdraw_people(world.service, "watchers")
        with refused("PERMISSION_DENIED", "FORBIDDEN"):
            list(longer)


def test_a_new_key_is_known_soon_and_a_withdrawn_one_soon_no_more(world):
    old = world.person(world.token("admins"))
    assert world.ask(old)
    world.issuer.rotate("ES256")
    new = world.person(world.token("admins"))
    eventually(lambda: is_answered(world, new), "the new key is known")
    assert world.ask(old)
    world.issuer.rotate("PS256", forget=True)
    eventually(lambda: not is_answered(world, old), "the old key is forgotten")
    with refused("UNAUTHENTICATED", "BEARER_TOKEN_REJECTED"):
        world.ask(old)


def is_answered(world, client) -> bool:
    try:
        world.ask(client)
    except grpc.RpcError:
        return False
    return True


def test_a_provider_that_is_gone_is_an_outage_after_a_while_and_forgotten_when_it_is_back(world):
    person = world.person(world.token("admins"))
    eventually(lambda: is_answered(world, person), "its key is known")
    world.issuer.behave("garbage")
    gone = time.monotonic()
    eventually(lambda: not is_answered(world, person), "the keys are too old")
    assert time.monotonic() - gone < SHORT + 3
    with refused("UNAVAILABLE", "ISSUER_UNAVAILABLE"):
        world.ask(person)
    assert world.ask(world.service.client("operator")), "others do not notice"
    eventually(lambda: '"issuer_keys_not_read"' in world.service.log.read_text(), "the log says so")
    world.issuer.behave("good")
    eventually(lambda: is_answered(world, person), "it is back")


# The command line.


def test_the_command_line_reads_the_token_for_each_call_and_refuses_a_file_that_others_can_read(world, tmp_path):
    def said(*words: str, **more: str):
        place = {"KEYSTEAD_ADDRESS": world.address, "KEYSTEAD_CA": str(world.service.folder / "pki/ca.pem")}
        return world.service.keystead(*words, check=False, env={**place, "KEYSTEAD_TOKEN_FILE": str(file), **more})

    file = tmp_path / "token"
    file.write_text("nothing")
    file.chmod(0o644)
    told = said("organizations", "list")
    assert (told.returncode, told.stderr) == (
        2,
        f"keystead: KEYSTEAD_TOKEN_FILE: {file} can be used by others than you: chmod 600 {file}\n",
    )
    file.chmod(0o600)
    told = said("organizations", "list")
    assert told.returncode == 1
    assert "reason: BEARER_TOKEN_REJECTED" in told.stderr
    file.write_text(world.token("auditors") + "\n")
    assert world.own.id in said("organizations", "list").stdout
    file.write_text(world.token("auditors", iat=int(time.time()) - 60, exp=int(time.time()) - 1))
    assert "next: write a new token to the file" in said("organizations", "list").stderr
    mine = world.service.identity("operator")
    both = said(
        "organizations",
        "list",
        KEYSTEAD_ADDRESS=world.service.address,
        **{name: mine[name] for name in ("KEYSTEAD_CERT", "KEYSTEAD_KEY")},
    )
    assert "next: unset KEYSTEAD_CERT KEYSTEAD_KEY, or unset KEYSTEAD_TOKEN_FILE" in both.stderr
    file.write_text("two words")
    assert "does not hold a bearer token and nothing else" in said("health").stderr
    file.unlink()
    assert said("health").stderr == f"keystead: KEYSTEAD_TOKEN_FILE: {file}: No such file or directory.\n"
    file.mkdir()
    assert "Is a directory" in said("health").stderr
