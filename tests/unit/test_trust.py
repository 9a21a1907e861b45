"""What the trust mode changes in a report, and what the officer's command asks for before it looks at anything."""

import pytest
from typer.testing import CliRunner

from hsm_adapter import CapabilityReport, Check
from hsm_adapter.token_info import TokenInfo
from server import commands

GOOD, BAD = Check("good", None), Check("bad", "the token lets its user make a key trusted")
TOKEN = TokenInfo(slot=0, label="keystead", manufacturer="", model="", serial="", firmware="")


def report(mode: str, *trust_checks: Check, check: Check = GOOD) -> CapabilityReport:
    return CapabilityReport(
        token=TOKEN,
        profile="standard",
        is_software=False,
        trust_mode=mode,
        signature_algorithm=None,
        checks=(check,),
        trust_checks=trust_checks,
    )


@pytest.mark.parametrize(("mode", "is_fit"), [("flags", True), ("trusted", False)])
def test_a_token_that_does_not_keep_the_mark_serves_in_the_mode_flags_alone(mode, is_fit):
    told = report(mode, GOOD, BAD)
    assert told.ok is is_fit
    assert (BAD in told.needed) is not is_fit
    assert told.as_dict()["trust_checks"][1] == {"name": "bad", "fault": BAD.fault}
    assert report(mode, GOOD).ok
    assert not report(mode, GOOD, check=BAD).ok


ORGANIZATION, MAIN_KEY = ("--organization", "acme"), ("--main-key", "0" * 32)
FINGERPRINT, PIN = ("--fingerprint", "00"), ("--so-pin-file", "so_pin")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*FINGERPRINT, *PIN), "--common-key"),
        ((*ORGANIZATION, *FINGERPRINT, *PIN), "--common-key"),
        ((*MAIN_KEY, *FINGERPRINT, *PIN), "--common-key"),
        (("--common-key", *ORGANIZATION, *MAIN_KEY, *FINGERPRINT, *PIN), "--common-key"),
        (("--common-key", *ORGANIZATION, *FINGERPRINT, *PIN), "--common-key"),
        (("--common-key", *PIN), "--fingerprint"),
        (("--common-key", *PIN, "--json"), "--fingerprint"),
        (("--common-key", *FINGERPRINT), "--so-pin-file"),
    ],
)
def test_the_officers_command_wants_one_key_and_somebody_to_ask(words, told):
    done = CliRunner().invoke(commands.app, ["hsm", "trust", "--config", "/nowhere", *words])
    assert done.exit_code == 2
    assert told in done.output


def test_the_officers_command_takes_no_pin():
    trust = next(it for it in commands.hsm.registered_commands if it.callback is commands.trust)
    assert trust.callback is not None
    named = {name for name in trust.callback.__annotations__ if "pin" in name}
    assert named == {"so_pin_file"}
