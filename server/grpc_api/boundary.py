"""The edge of every call: who is calling, what a repeat is told, and what a fault becomes."""

import logging
import secrets
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from server.domain.errors import CallerGoneError, KeysteadError, ServiceStoppingError, TooManyWatchersError
from server.domain.ports import Wanted
from server.domain.roles import Caller
from server.grpc_api.admission import Admission, WaitingCaller
from server.grpc_api.callers import Callers
from server.grpc_api.errors import add_call_id, incident_status, to_status
from server.observability.current_call import current_call
from server.use_cases import AnsweredBefore

_log = logging.getLogger(__name__)

WATCHERS_LIMIT = 64
"""Streams of one process; each holds a thread."""
_TICK = 0.5
"""Seconds between two looks of a stream; a message is sent at least each second one."""

T = TypeVar("T")
Q = TypeVar("Q", bound=Message)
M = TypeVar("M", bound=Message)


class Boundary:
    """Answers calls on behalf of the caller that the transport has proven."""

    def __init__(self, callers: Callers, admission: Admission, stopping: threading.Event) -> None:
        """Remember whom to ask.

        Args:
            callers: tells who is calling.
            admission: who may ask the token for content keys now.
            stopping: set when the process is to end; streams then end at once, and calls as they would.
        """
        self._callers = callers
        self._admission = admission
        self._stopping = stopping
        self._watchers = threading.BoundedSemaphore(WATCHERS_LIMIT)

    def answer(self, context: grpc.ServicerContext, work: Callable[[Caller], T]) -> T:
        """Return what `work` answers this caller, or end the call with the status of what went wrong."""
        try:
            return work(self._caller(context))
        except Exception as error:  # noqa: BLE001 - the outermost edge: no fault may show its inside to a caller
            _abort(context, error)

    def _caller(self, context: grpc.ServicerContext) -> Caller:
        caller = self._proven(context)
        if not context.is_active():
            # It has gone while the call waited for a thread. What nobody waits for is not begun.
            raise CallerGoneError
        return caller

    def _proven(self, context: grpc.ServicerContext) -> Caller:
        """Return the caller, which may be gone."""
        caller = self._callers.of(context)
        call = current_call()
        if call is not None:
            call.caller = caller.identity
        return caller

    def admit(self, context: grpc.ServicerContext, *, with_certificate: bool = False) -> None:
        """Return if somebody is proven to be calling, whatever the policy grants, or end the call.

        Args:
            context: of the call.
            with_certificate: whether a bearer token is not enough.
        """
        try:
            self._callers.demand_proof(context, with_certificate=with_certificate)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            _abort(context, error)

    def answer_once(self, context: grpc.ServicerContext, answer: type[M], work: Callable[[Caller], M]) -> M:
        """Answer as `answer` does; a request that was carried out before is told the same again."""
        return self.answer(context, once(answer, work))

    def answer_in_turn(self, context: grpc.ServicerContext, request: Q, work: Callable[[Caller, Q, Wanted], T]) -> T:
        """Answer as `answer` does, when it is the call's turn to ask the token: for what services ask at speed.

        `work` is given what says whether its answer is still wanted; it should ask between the items of a batch.
        """
        try:
            return self._in_turn(context, WaitingCaller(context), request, work)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            _abort(context, error)

    def outcome_in_turn(
        self,
        context: grpc.ServicerContext,
        waiting: WaitingCaller,
        request: Q,
        work: Callable[[Caller, Q, Wanted], T],
    ) -> T | Status:
        """Return what `answer_in_turn` would answer, or the status of what went wrong: the call, a stream, goes on.

        Args:
            context: of the call.
            waiting: its caller, one for the whole stream.
            request: what is asked now.
            work: as in `answer_in_turn`.
        """
        try:
            return self._in_turn(context, waiting, request, work)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            return _told(error)

    def _in_turn(
        self,
        context: grpc.ServicerContext,
        waiting: WaitingCaller,
        request: Q,
        work: Callable[[Caller, Q, Wanted], T],
    ) -> T:
        caller = self._proven(context)
        self._admission.enter(waiting)
        try:
            return work(caller, request, waiting.demand)
        finally:
            self._admission.leave()

    def objection(self, context: grpc.ServicerContext, look: Callable[[Caller], None]) -> Exception | None:
        """Return what `look` raises about this caller, if anything; any thread may ask."""
        try:
            look(self._caller(context))
        except Exception as error:  # noqa: BLE001 - as in `answer`
            return error
        return None

    @contextmanager
    def place(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Have one of the places that streams have in this process, or end the call."""
        if not self._watchers.acquire(blocking=False):
            _abort(context, TooManyWatchersError())
        try:
            yield
        finally:
            self._watchers.release()

    def refuse(self, context: grpc.ServicerContext, error: Exception) -> NoReturn:
        """End the call with the status of what went wrong."""
        _abort(context, error)

    @property
    def is_stopping(self) -> bool:
        """Return whether the process is to end."""
        return self._stopping.is_set()

    def stream(
        self,
        context: grpc.ServicerContext,
        look: Callable[[Caller], M],
        is_last: Callable[[M], bool],
        wait: Callable[[float], None] | None = None,
    ) -> Iterator[M]:
        """Yield what `look` sees, at each change and at least each second, until it was the last or the caller is gone.

        Each look asks anew who the caller is and what it may do.

        Args:
            context: the call.
            look: sees what there is now.
            is_last: whether nothing comes after this.
            wait: returns when it is worth while to look again, at the latest after the given seconds.
        """
        ended = threading.Event()
        with self.place(context):
            if not context.add_callback(ended.set):
                return
            told: M | None = None
            ticks = 0
            while not ended.is_set():
                if self._stopping.is_set():
                    _abort(context, ServiceStoppingError())
                seen = self.answer(context, look)
                if seen != told or ticks >= 1:
                    yield seen
                    told, ticks = seen, 0
                else:
                    ticks += 1
                if is_last(seen):
                    return
                (wait or ended.wait)(_TICK)


def once(answer: type[M], work: Callable[[Caller], M]) -> Callable[[Caller], M]:
    """Return the work of a request that is carried out once: a repeat is told the first answer again."""

    def work_once(caller: Caller) -> M:
        try:
            return work(caller)
        except AnsweredBefore as repeat:
            return answer.FromString(repeat.answer)

    return work_once


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    call = current_call()
    if call is not None:
        call.reason = error.reason if isinstance(error, KeysteadError) else "INTERNAL"
    context.abort_with_status(rpc_status.to_status(_told(error)))
    raise AssertionError("abort_with_status returned")


def _told(error: Exception) -> Status:
    status, call = _status_of(error), current_call()
    if call is not None:
        add_call_id(status, call.id)
    return status


def _status_of(error: Exception) -> Status:
    if isinstance(error, KeysteadError):
        return to_status(error)
    incident = secrets.token_hex(8)
    _log.error("incident", extra={"incident": incident, "fault": _described(error)})
    return incident_status(incident)


def _described(error: BaseException) -> list[str]:
    # Types and places only: a message might carry what it was about.
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return [type(error).__name__, *frames]
