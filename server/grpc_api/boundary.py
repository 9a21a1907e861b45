"""The edge of every call: who is calling, and what a fault becomes."""

import logging
import secrets
import traceback
from collections.abc import Callable
from typing import TypeVar

import grpc
from grpc_status import rpc_status

from server.domain.errors import KeysteadError
from server.domain.roles import Caller
from server.grpc_api.errors import incident_status, to_status
from server.grpc_api.identity import identity_of
from server.grpc_api.policy import Policy

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Boundary:
    """Answers calls on behalf of the caller that the transport has proven."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def answer(self, context: grpc.ServicerContext, work: Callable[[Caller], T]) -> T:
        """Return what `work` answers this caller, or end the call with the status of what went wrong."""
        try:
            return work(self._policy.caller(identity_of(context)))
        except KeysteadError as error:
            status = to_status(error)
        except Exception as error:  # noqa: BLE001 - the outermost edge: no fault may show its inside to a caller
            incident = secrets.token_hex(8)
            _log.error("incident", extra={"incident": incident, "fault": _described(error)})
            status = incident_status(incident)
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status returned")


def _described(error: BaseException) -> list[str]:
    # Types and places only: a message might carry what it was about.
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return [type(error).__name__, *frames]
