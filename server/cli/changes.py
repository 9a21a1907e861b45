"""Changes: each is carried out once, however often its request has to be sent.

A request carries an id, by which the service knows a repeat and answers it as it did the first time. So a change is
repeated by itself when its answer was lost or the service had to put it off, and who still got no answer is told how to
repeat it.
"""

import time
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import grpc
import typer

from server.cli.connection import TIMEOUT
from server.cli.failures import pause_before_repeat

_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each repeat; there are no more."""


def _not_empty(value: str | None) -> str | None:
    if value == "":
        raise typer.BadParameter("it is empty; leave the option out, or give a value.")
    return value


RequestId = Annotated[
    str | None,
    typer.Option(
        metavar="UUID",
        callback=_not_empty,
        help="A repeat under the same id is carried out only once. Default: a new one.",
    ),
]
Etag = Annotated[
    str | None,
    typer.Option(callback=_not_empty, help="Change only what still has this etag, as `get` shows it. Default: any."),
]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a change is asked for.

    Attributes:
        request_id: the id that the request is to have; None for a new one.
        etag: of what is to be changed; None if it does not matter.
        repeated_with: further options for whoever repeats the command.
    """

    request_id: str | None = None
    etag: str | None = None
    repeated_with: str = ""

    @property
    def are_free(self) -> bool:
        """Return whether nothing was demanded."""
        return self.request_id is None and self.etag is None


class _Change(Protocol):
    request_id: str


R = TypeVar("R", bound=_Change)


def carried_out(call: "grpc.UnaryUnaryMultiCallable[R, Any]", request: R, terms: Terms) -> Any:  # noqa: ANN401 - whatever the call answers
    """Return the answer of a call that changes something.

    Args:
        call: the method.
        request: what it is asked for, without an id.
        terms: on what terms.

    Raises:
        grpc.RpcError: it was refused, or got no answer; then its notes tell how to repeat it.
    """
    request.request_id = terms.request_id or str(uuid.uuid4())
    pauses = iter(_PAUSES)
    while True:
        try:
            return call(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            told, pause = pause_before_repeat(error), next(pauses, None)
            if told is None or pause is None:
                options = f"--request-id {request.request_id} {terms.repeated_with}".rstrip()
                error.add_note(
                    f"It may have been done all the same. Repeat the command with {options}: it is done once."
                )
                raise
            time.sleep(max(told, pause))
