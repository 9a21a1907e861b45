"""The policy file is read anew when it changes, and nobody goes by the old one after that."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from server.domain.roles import Role
from server.grpc_api.policy import Policy, PolicyError
from server.people.person import Person

GRANT = '[[grants]]\nidentity = "spiffe://test/{name}"\nrole = "service"\norganizations = ["acme"]\n'


PEOPLE = """[[people]]
issuer = "https://one"
claim = "groups"
value = "{value}"
role = "{role}"
organizations = ["{organization}"]
"""


class SlowPolicy(Policy):
    """Takes as long to read the file as a test wants."""

    def __init__(self, path) -> None:
        self.reading, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        super().__init__(path)

    def _read(self):
        self.reading.set()
        assert self.may_end.wait(30)
        return super()._read()


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(GRANT.format(name="first"))
    return file


def test_callers_that_come_while_the_file_is_read_wait_for_what_it_says(file):
    policy = SlowPolicy(file)
    policy.reading.clear()
    policy.may_end.clear()
    file.write_text(GRANT.format(name="second"))
    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(policy.caller, "spiffe://test/second")
        assert policy.reading.wait(30)
        others = [pool.submit(policy.caller, f"spiffe://test/{name}") for name in ("first", "second")]
        # Time for a wrong answer; the right one cannot come yet.
        wait(others, timeout=0.2)
        policy.may_end.set()
        first, second = (other.result() for other in others)
    assert [grant.role for grant in reader.result().grants] == [Role.SERVICE]
    assert [grant.role for grant in second.grants] == [Role.SERVICE]
    assert first.grants == ()


def test_a_file_that_cannot_be_read_leaves_the_last_good_one_in_force_and_is_tried_once(file):
    policy = SlowPolicy(file)
    file.write_text("grants = 1")
    assert policy.caller("spiffe://test/first").grants
    policy.reading.clear()
    assert policy.caller("spiffe://test/first").grants
    assert not policy.reading.is_set()


def test_a_person_has_the_grants_of_every_entry_that_fits_and_none_of_an_identity(file):
    entries = (("a", "administrator", "acme"), ("b", "auditor", "globex"), ("c", "auditor", "initech"))
    people = "".join(PEOPLE.format(value=it[0], role=it[1], organization=it[2]) for it in entries)
    file.write_text(GRANT.format(name="first") + people)
    policy = Policy(file)
    caller = policy.person(Person("https://one", "spiffe://test/first", {"groups": ["a", "b"]}))
    assert [(it.role, *it.organizations) for it in caller.grants] == [
        (Role.ADMINISTRATOR, "acme"),
        (Role.AUDITOR, "globex"),
    ]
    assert policy.person(Person("https://two", "x", {"groups": ["a", "b"]})).grants == ()
    assert policy.caller("oidc:https://one#x").grants == ()


@pytest.mark.parametrize(
    "text",
    [
        PEOPLE.format(value="a", role="operator", organization="acme"),
        PEOPLE.format(value="a", role="service", organization="acme"),
        PEOPLE.format(value="a", role="console", organization="acme"),
        PEOPLE.format(value="", role="auditor", organization="acme"),
        PEOPLE.format(value="a", role="auditor", organization="Not An Id"),
        PEOPLE.format(value="a", role="auditor", organization="acme").replace("groups", "aud"),
        PEOPLE.format(value="a", role="auditor", organization="acme").replace("issuer", "issued_by"),
        PEOPLE.format(value="a", role="auditor", organization="acme").replace('["acme"]', "[]"),
        GRANT.format(name="x").replace("service", "console"),
        GRANT.format(name="x").replace("service", "operator"),
        GRANT.format(name="x").replace("service", "root"),
        "".join(GRANT.format(name="x") + f'person = "{it}"\n' for it in ("oidc:https://one#a", "oidc:https://one#b")),
        GRANT.format(name="x") + '[[grants]]\nidentity = "spiffe://test/x"\nrole = "console"\n',
    ],
)
def test_a_policy_that_grants_what_cannot_be_is_no_policy(file, text):
    file.write_text(text)
    with pytest.raises(PolicyError):
        Policy(file)


def test_a_certificate_and_the_tokens_of_its_person_are_one_hand(file):
    alice = Person("https://one", "alice", {})
    file.write_text(GRANT.format(name="first") + f'person = "{alice.identity}"\n' + GRANT.format(name="second"))
    policy = Policy(file)
    first, second, person = (
        policy.caller("spiffe://test/first"),
        policy.caller("spiffe://test/second"),
        policy.person(alice),
    )
    assert first.hand == person.hand == person.identity
    assert (first.identity, second.hand) == ("spiffe://test/first", "spiffe://test/second")
