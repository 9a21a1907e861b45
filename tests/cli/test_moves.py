"""What becomes of a main key, typed: previews, questions, moves, etags and repeats."""

import json
import uuid
from datetime import datetime, timedelta

import pytest
from keystead.v1.main_key_service_pb2 import LATER

pytestmark = pytest.mark.slow

NOBODY_TO_ASK = (
    "keystead: Standard input is not a terminal, so nobody can be asked. Give --yes to go ahead without a question.\n"
)
DANGEROUS = [("main-keys", "revoke"), ("main-keys", "delete"), ("organizations", "disable-byok")]


def id_of(key) -> str:
    return key.name.rpartition("/")[2]


@pytest.fixture
def active(org):
    """The id of the main key in charge; one KEK and one content key are under it."""
    org.generate(org.new_kek().name)
    key = org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    return id_of(key)


@pytest.fixture(scope="module")
def calm(service):
    """An organisation of which nothing is changed, and the id of its main key; one KEK is under it."""
    org = service.new_organization("calm")
    org.new_kek()
    key = org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    return org, id_of(key)


def state(org, key: str) -> str:
    return org.states()[f"{org.name}/mainKeys/{key}"]


def test_a_key_is_revoked_deleted_undeleted_and_activated(admin, user, org, active):
    kek = user.json("keks", "list", org.id)["keks"][0]["name"]
    told = admin.says("main-keys", "revoke", org.id, active, "--yes", "--reason", "a leak")
    assert "\nstate " in told
    assert "\nrevocation.reason " in told
    assert told.splitlines()[-1] == f"To bring everything back: keystead main-keys activate {org.id} {active}"
    assert "In effect everywhere by: " in told
    locked = user.is_told("content-keys", "generate", org.id, kek, status=1)
    assert "  reason: ORGANIZATION_LOCKED\n" in locked
    assert f"keystead main-keys activate {org.id} {active}\n" in locked

    told = admin.says("main-keys", "delete", org.id, active, "--yes")
    hint = told.splitlines()[-1]
    assert hint.endswith(f": keystead main-keys undelete {org.id} {active}")
    assert f"keystead main-keys undelete {org.id} {active}\n" in user.is_told("keks", "create", org.id, status=1)
    admin.says(*hint.partition(": keystead ")[2].split())
    assert state(org, active) == "REVOKED"
    assert admin.json("main-keys", "activate", org.id, active)["state"] == "ACTIVE"
    user.says("content-keys", "generate", org.id, kek)


def test_moves_are_json_for_programs_with_nothing_beside_it(admin, org, active):
    done = admin.keystead("main-keys", "revoke", org.id, active, "--yes", "--json")
    revoked = json.loads(done.stdout)
    assert done.stderr == ""
    assert revoked.keys() == {"main_key", "effective_time"}
    assert revoked["main_key"]["revocation"].keys() == {"cause", "reason", "revoke_time"}
    assert revoked["effective_time"] >= revoked["main_key"]["state_time"]
    assert admin.json("main-keys", "delete", org.id, active, "--yes")["next_moves"] == ["UNDELETE"]
    assert admin.json("main-keys", "undelete", org.id, active)["state"] == "REVOKED"
    assert admin.json("main-keys", "activate", org.id, active)["state"] == "ACTIVE"


@pytest.mark.parametrize(("text", "span"), [("90s", {"seconds": 90}), ("10m", {"minutes": 10}), ("24h", {"hours": 24})])
def test_a_revocation_can_be_for_a_time(admin, org, active, text, span):
    answer = admin.json("main-keys", "revoke", org.id, active, "--yes", "--reactivate-after", text)
    revocation = answer["main_key"]["revocation"]
    ends = datetime.fromisoformat(revocation["reactivate_time"])
    assert ends - datetime.fromisoformat(revocation["revoke_time"]) == timedelta(**span)


@pytest.mark.parametrize(
    "text", ["59s", "25h", "0m", "1441m", "10", "m", "-5m", "1.5h", "10 m", "1d", "", "\u0661\u0660m", "9" * 99 + "s"]
)
def test_a_time_that_is_none_is_refused_here(admin, ear, text):
    command = ("main-keys", "revoke", "acme", "k", "--yes", f"--reactivate-after={text}")
    told = admin.is_told(*command, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: --reactivate-after {text}: it must be 1 minute to 24 hours, such as 90s, 10m or 2h.\n"
    assert not ear.has_heard()


def test_byok_is_disabled_and_enabled(admin, org, active):
    assert admin.json("organizations", "get", org.id)["byok_enabled"] is True
    done = admin.keystead("organizations", "disable-byok", org.id, "--yes")
    assert "The common key takes over" in done.stderr
    assert "\nbyok_enabled    no\n" in done.stdout
    org.await_state(f"{org.name}/mainKeys/{active}", "RETIRED")
    shown = admin.json("organizations", "enable-byok", org.id)
    assert (shown["byok_enabled"], shown["main_key"]) == (True, f"{org.name}/mainKeys/common")
    assert "byok_enabled    yes\n" in admin.says("organizations", "enable-byok", org.id)


def test_without_byok_the_way_to_activate_is_told(admin, org):
    waiting = id_of(org.bring(activation=LATER))
    admin.says("organizations", "disable-byok", org.id, "--yes")
    told = admin.is_told("main-keys", "activate", org.id, waiting, status=1)
    assert "  reason: BYOK_DISABLED\n  next: keystead organizations enable-byok ORGANIZATION\n" in told


# Previews.


def test_a_preview_says_what_a_change_would_do(person, calm):
    org, active = calm
    admin = person(f"admin:{org.id}")
    told = admin.says("main-keys", "preview", org.id, active, "--change", "revoke").splitlines()
    assert told[:2] == [f"Revoke {org.name}/mainKeys/{active}:", "  KEKs under it: 1"]
    assert told[2].startswith("  content keys used in 24 hours: ")
    assert "  - Activating the key again brings everything back." in told
    told = admin.says("main-keys", "preview", org.id, active, "--change", "delete")
    assert "\n  not possible now: A main key in state ACTIVE cannot do DELETE." in told
    told = admin.says("main-keys", "preview", org.id, "common", "--change", "disable-byok")
    assert told.startswith("Disable BYOK")
    preview = admin.json("main-keys", "preview", org.id, active, "--change", "revoke")
    assert (preview["kek_count"], preview["stops_content_keys"], preview["obstacle"]) == (1, True, "")
    assert state(org, active) == "ACTIVE"


# The question.


@pytest.mark.parametrize("words", DANGEROUS)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_where_nobody_can_be_asked_nothing_is_done(admin, ear, words, more):
    ids = ("acme", "0" * 32)[: 1 if words[0] == "organizations" else 2]
    assert admin.is_told(*words, *ids, *more, status=2, KEYSTEAD_ADDRESS=ear.address) == NOBODY_TO_ASK
    assert not ear.has_heard()


def test_at_a_terminal_the_preview_is_shown_and_somebody_is_asked(admin, org, active):
    with admin.at_terminal("main-keys", "revoke", org.id, active) as terminal:
        shown = terminal.reads("Go ahead? [y/N]: ")
        assert f"Revoke {org.name}/mainKeys/{active}:\n  KEKs under it: 1\n" in shown
        assert "No content key of the organization can be made" in shown
        assert state(org, active) == "ACTIVE"
        terminal.types("y\n")
        assert terminal.ends() == 0
        assert "In effect everywhere by: " in terminal.shown
    with admin.at_terminal("main-keys", "delete", org.id, active) as terminal:
        assert "The key is removed from the HSM in 30 days" in terminal.reads("Go ahead? [y/N]: ")
        terminal.types("y\n")
        assert terminal.ends() == 0
    assert state(org, active) == "DELETED"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("main-keys", "revoke"), "n\n"),
        (("main-keys", "revoke"), "\n"),
        (("main-keys", "revoke"), "\x04"),
        (("organizations", "disable-byok"), "n\n"),
    ],
    ids=["no", "nothing", "end of input", "no to the other question"],
)
def test_who_does_not_agree_changes_nothing(person, calm, words, answer):
    org, active = calm
    ids = (org.id,) if words[0] == "organizations" else (org.id, active)
    with person(f"admin:{org.id}").at_terminal(*words, *ids) as terminal:
        terminal.reads("Go ahead? [y/N]: ")
        terminal.types(answer)
        assert terminal.ends() == 1
        assert "Traceback" not in terminal.shown
        if answer == "n\n":
            assert terminal.shown.endswith("keystead: Nothing was changed.\n")
    assert state(org, active) == "ACTIVE"


def test_what_changed_while_somebody_was_thinking_is_not_changed_unseen(admin, org, active):
    with admin.at_terminal("main-keys", "revoke", org.id, active) as terminal:
        terminal.reads("Go ahead? [y/N]: ")
        name = f"{org.name}/mainKeys/{active}"
        admin.says("main-keys", "revoke", org.id, active, "--yes")
        org.activate(name)
        terminal.types("y\n")
        assert terminal.ends() == 1
        assert "  reason: STALE_ETAG\n" in terminal.shown
        assert f"repeat with --etag {org.main_key(name).etag}\n" in terminal.shown
    assert state(org, active) == "ACTIVE"


def test_nobody_is_asked_about_what_is_not_possible(person, calm):
    org, active = calm
    with person(f"admin:{org.id}").at_terminal("main-keys", "delete", org.id, active) as terminal:
        assert terminal.ends() == 1
        assert "Go ahead" not in terminal.shown
        assert "  reason: ILLEGAL_TRANSITION\n" in terminal.shown


# Etags and repeats.


def test_a_stale_etag_is_told_with_the_way_on(admin, org, active):
    seen = admin.json("main-keys", "get", org.id, active)["etag"]
    admin.says("main-keys", "revoke", org.id, active, "--yes", "--etag", seen)
    told = admin.is_told("main-keys", "activate", org.id, active, "--etag", seen, status=1)
    assert "Now: state REVOKED" in told
    assert "  reason: STALE_ETAG\n" in told
    etag = told.rstrip().rpartition(" ")[2]
    error = json.loads(admin.is_told("main-keys", "activate", org.id, active, "--etag", seen, "--json", status=1))
    assert error["error"]["metadata"]["etag"] == etag
    admin.says("main-keys", "activate", org.id, active, "--etag", etag)


def test_every_change_that_was_not_seen_is_refused(person, calm):
    (org, active), stale = calm, "0" * 16
    admin = person(f"admin:{org.id}")
    rotation = admin.json("rotations", "list", org.id)["rotations"][0]["name"]
    for words in (
        ("organizations", "enable-byok", org.id),
        ("organizations", "disable-byok", org.id, "--yes"),
        ("main-keys", "delete", org.id, active, "--yes"),
        ("main-keys", "undelete", org.id, active),
        ("rotations", "pause", org.id, rotation),
        ("rotations", "resume", org.id, rotation),
    ):
        assert "  reason: STALE_ETAG\n" in admin.is_told(*words, "--etag", stale, status=1)


@pytest.mark.parametrize("option", ["--etag", "--request-id"])
def test_an_empty_option_is_not_the_default(admin, ear, option):
    told = admin.is_told("main-keys", "activate", "acme", "k", option, "", status=2, KEYSTEAD_ADDRESS=ear.address)
    assert f"Invalid value for '{option}': it is empty" in told
    assert not ear.has_heard()


def test_a_repeat_under_its_id_is_told_the_first_answer(admin, org, active):
    words = ("main-keys", "revoke", org.id, active, "--yes", "--request-id", str(uuid.uuid4()))
    first = admin.json(*words)
    assert admin.json("main-keys", "activate", org.id, active)["state"] == "ACTIVE"
    assert admin.json(*words) == first
    # At a terminal too: that it would not be possible now is no reason to hold it back.
    admin.json("main-keys", "revoke", org.id, active, "--yes")
    with admin.at_terminal(*(word for word in words if word != "--yes")) as terminal:
        assert terminal.ends() == 0
    told = admin.is_told(*words, "--reason", "another", status=1)
    assert "  reason: REQUEST_ID_REUSED\n  next: leave --request-id out" in told


def test_a_key_in_each_state_is_shown_in_the_table(admin, org, active):
    admin.says("main-keys", "revoke", org.id, active, "--yes")
    head, row, _ = admin.says("main-keys", "list", org.id).splitlines()
    assert head.split()[:5] == ["id", "origin", "state", "kek_count", "next_moves"]
    assert row.split()[:6] == [active, "UPLOADED", "REVOKED", "1", "ACTIVATE,", "DELETE"]
    (row,) = admin.says("organizations", "list").splitlines()[1:]
    assert row.split()[2:5] == ["yes", active, "REVOKED"]
