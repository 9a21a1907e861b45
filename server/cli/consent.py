"""Changes that stop content keys or end a key's life: what they would do is shown first, and somebody is asked."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.resources_pb2 import MainKey, Organization

from server.cli.changes import Terms
from server.cli.connection import TIMEOUT
from server.cli.failures import REFUSED, fail
from server.cli.output import moment, tell

Yes = Annotated[bool, typer.Option("--yes", help="Go ahead without a question.")]

_TITLES = {
    messages.REVOKE: "Revoke {}",
    messages.DELETE: "Delete {}",
    messages.DISABLE_BYOK: "Disable BYOK; in charge now: {}",
}


def demand_somebody_to_ask(*, yes: bool) -> None:
    """Return if the question can be asked, or need not be."""
    if not yes and not sys.stdin.isatty():
        fail("Standard input is not a terminal, so nobody can be asked. Give --yes to go ahead without a question.")


def told_before(name: str, change: "messages.Change.ValueType", preview: messages.PreviewChangeResponse) -> list[str]:
    """Return in lines what a change of this main key would do."""
    last = f"the last at {moment(preview.last_use_time)}" if preview.HasField("last_use_time") else "none for 31 days"
    lines = [
        f"{_TITLES[change].format(name)}:",
        f"  KEKs under it: {preview.kek_count}",
        f"  content keys used in 24 hours: {preview.content_keys_last_day}, "
        f"in 30 days: {preview.content_keys_last_30_days}, {last}",
    ]
    if preview.obstacle:
        return [*lines, f"  not possible now: {preview.obstacle}"]
    return lines + [f"  - {effect}" for effect in preview.effects]


def etag_by_consent(
    stub: MainKeyServiceStub,
    change: "messages.Change.ValueType",
    look: Callable[[], MainKey | Organization],
    terms: Terms,
    *,
    yes: bool,
    as_json: bool,
) -> str:
    """Show on standard error what a change would do, and ask; return the etag that the change carries, if any.

    Who agrees, agrees to what was shown and to nothing that came between: the change carries the etag of what was
    shown, unless one was given. A command with a --request-id may be a repeat, which must be the same request to the
    letter: nothing is added to it. Nobody is asked about what is not possible: the service refuses it, or knows it as a
    repeat.

    Args:
        stub: the service.
        change: what is to be done.
        look: returns what is to be changed: a main key, or an organisation.
        terms: as they were given.
        yes: whether nobody is to be asked.
        as_json: whether a program reads; then nothing is shown that nobody is asked about.
    """
    if yes and as_json:
        return terms.etag or ""
    shown = look()
    name = shown.main_key if isinstance(shown, Organization) else shown.name
    preview = stub.PreviewChange(messages.PreviewChangeRequest(name=name, change=change), timeout=TIMEOUT)
    if preview.obstacle:
        return terms.etag or ""
    for line in told_before(name, change, preview):
        tell(line)
    if yes:
        return terms.etag or ""
    if not typer.confirm("Go ahead?", err=True):
        fail("Nothing was changed.", REFUSED)
    return shown.etag if terms.are_free else terms.etag or ""
