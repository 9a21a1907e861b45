"""keystead main-keys: what becomes of a key that is there, and what is asked before."""

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.resources_pb2 import MainKey

from server.cli.advice import words_of
from server.cli.changes import Etag, RequestId, Terms, carried_out
from server.cli.checksums import crc32c, tell_if_unverified
from server.cli.connection import TIMEOUT, connected
from server.cli.consent import Yes, demand_somebody_to_ask, etag_by_consent, told_before
from server.cli.failures import REFUSED, fail
from server.cli.files import read_encrypted_key
from server.cli.names import MainKeyId, Organization, child_name, organization_name
from server.cli.output import AsJson, moment, plain, print_json, say, show

app = typer.Typer()
"""Part of `keystead main-keys`."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(hours=24)


class Change(StrEnum):
    """What can be previewed."""

    REVOKE = "revoke"
    DELETE = "delete"
    DISABLE_BYOK = "disable-byok"


@app.command()
def activate(
    organization: Organization,
    main_key: MainKeyId,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Put a main key in charge, or back in charge.

    A PENDING one takes over: the one before it goes to ROTATING, and every KEK is re-wrapped. The one that is REVOKED
    comes back: everything works again.
    """
    request = messages.ActivateMainKeyRequest(name=child_name(organization, "mainKeys", main_key), etag=etag or "")
    with connected(as_json=as_json) as channel:
        answer = carried_out(MainKeyServiceStub(channel).ActivateMainKey, request, Terms(request_id, etag))
    show(answer, as_json=as_json)


@app.command()
def revoke(
    organization: Organization,
    main_key: MainKeyId,
    reason: Annotated[str, typer.Option(help="Why, for people: at most 200 characters.")] = "",
    reactivate_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Activate it again by itself after 1 minute to 24 hours, such as 90s, 10m, 2h."
        ),
    ] = None,
    yes: Yes = False,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything that needs the main key in charge.

    No content key of the organization can be made, wrapped or unwrapped until the key is activated again.
    """
    name = child_name(organization, "mainKeys", main_key)
    request = messages.RevokeMainKeyRequest(name=name, reason=reason)
    if reactivate_after is not None:
        request.reactivate_after.CopyFrom(_duration(reactivate_after))
    demand_somebody_to_ask(yes=yes)
    terms = Terms(request_id, etag)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        request.etag = _etag(stub, name, messages.REVOKE, terms, yes=yes, as_json=as_json)
        answer = carried_out(stub.RevokeMainKey, request, terms)
    if as_json:
        print_json(plain(answer))
        return
    show(answer.main_key, as_json=False)
    say(f"\nIn effect everywhere by: {answer.effective_time.ToJsonString()}")
    say(f"To bring everything back: keystead main-keys activate {words_of(answer.main_key.name)}")


@app.command()
def delete(
    organization: Organization,
    main_key: MainKeyId,
    yes: Yes = False,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Have a main key removed from the HSM in 30 days.

    It must be REVOKED or PENDING, and can be undeleted until then.
    """
    name = child_name(organization, "mainKeys", main_key)
    request = messages.DeleteMainKeyRequest(name=name)
    demand_somebody_to_ask(yes=yes)
    terms = Terms(request_id, etag)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        request.etag = _etag(stub, name, messages.DELETE, terms, yes=yes, as_json=as_json)
        answer = carried_out(stub.DeleteMainKey, request, terms)
    show(answer, as_json=as_json)
    if not as_json:
        say(f"\nUntil {moment(answer.purge_time)}: keystead main-keys undelete {words_of(answer.name)}")


def _etag(
    stub: MainKeyServiceStub,
    name: str,
    change: "messages.Change.ValueType",
    terms: Terms,
    *,
    yes: bool,
    as_json: bool,
) -> str:
    def look() -> MainKey:
        return stub.GetMainKey(messages.GetMainKeyRequest(name=name), timeout=TIMEOUT)

    return etag_by_consent(stub, change, look, terms, yes=yes, as_json=as_json)


def _duration(text: str) -> Duration:
    match = re.fullmatch(r"(\d{1,5})([smh])", text, re.ASCII)
    span = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not _SHORTEST <= span <= _LONGEST:
        fail(f"--reactivate-after {text}: it must be 1 minute to 24 hours, such as 90s, 10m or 2h.")
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


@app.command()
def undelete(
    organization: Organization,
    main_key: MainKeyId,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Take the deletion of a main key back.

    It is again what it was before: REVOKED or PENDING.
    """
    request = messages.UndeleteMainKeyRequest(name=child_name(organization, "mainKeys", main_key), etag=etag or "")
    with connected(as_json=as_json) as channel:
        answer = carried_out(MainKeyServiceStub(channel).UndeleteMainKey, request, Terms(request_id, etag))
    show(answer, as_json=as_json)


@app.command()
def preview(
    organization: Organization,
    main_key: MainKeyId,
    change: Annotated[Change, typer.Option(help="What to look at.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say what a change would do, and change nothing."""
    name = child_name(organization, "mainKeys", main_key)
    kind = messages.Change.Value(change.name)
    with connected(as_json=as_json) as channel:
        request = messages.PreviewChangeRequest(name=name, change=kind)
        answer = MainKeyServiceStub(channel).PreviewChange(request, timeout=TIMEOUT)
    if as_json:
        print_json(plain(answer))
        return
    for line in told_before(name, kind, answer):
        say(line)


@app.command()
def verify_copy(
    organization: Organization,
    main_key: MainKeyId,
    encrypted_key: Annotated[
        Path, typer.Argument(metavar="ENCRYPTED_KEY", help="The file of your backup, encrypted.", show_default=False)
    ],
    wrapping_key: Annotated[
        str | None,
        typer.Option(
            help="Id or name of the wrapping key it is encrypted under; default: the organization's present one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a backup is a copy of this main key.

    Exit status 0 only if it is. The backup is encrypted as for an import, and the wrapping key is used up; no state
    changes.
    """
    encrypted = read_encrypted_key(encrypted_key)
    request = messages.VerifyMainKeyCopyRequest(
        name=child_name(organization, "mainKeys", main_key),
        encrypted_key=encrypted,
        encrypted_key_crc32c=crc32c(encrypted),
    )
    if wrapping_key is not None:
        request.wrapping_key = child_name(organization, "wrappingKeys", wrapping_key)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        if wrapping_key is None:
            parent = messages.GetWrappingKeyRequest(parent=organization_name(organization))
            request.wrapping_key = stub.GetWrappingKey(parent, timeout=TIMEOUT).name
        answer = stub.VerifyMainKeyCopy(request, timeout=TIMEOUT)
    tell_if_unverified(verified=answer.verified_encrypted_key_crc32c)
    if as_json:
        print_json(plain(answer))
        raise typer.Exit(0 if answer.matches else REFUSED)
    if not answer.matches:
        whose = f"a copy of {answer.matching_main_key}" if answer.matching_main_key else "of no key of the organization"
        fail(
            f"It is no copy of {answer.main_key.name}: it is {whose}."
            f"\n  fingerprint of the copy: {answer.copy_fingerprint.hex()}"
            f"\n  fingerprint of the key:  {answer.main_key.fingerprint.hex()}",
            REFUSED,
        )
    say(f"It is a copy of {answer.main_key.name}.")
    say(f"fingerprint: {answer.copy_fingerprint.hex()}")
