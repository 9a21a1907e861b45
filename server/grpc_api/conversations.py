"""Streams that answer each request with one message, in order, and take no more ahead than the caller reads.

A stream has two threads: that of the call answers, the other reads. AHEAD requests are here at most, and one makes room
when its answer has gone out, which waits for a caller that does not read: HTTP/2's own flow control then holds the
caller's further requests back.

One more thread looks at all streams twice a second, since those threads may be waiting for the caller: a stream ends
when the process does, or when its caller may not have it any more.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from server.domain.errors import ServiceStoppingError
from server.domain.roles import Caller
from server.grpc_api.boundary import Boundary

AHEAD = 2
"""Requests of a stream that are here at a time: one that is answered, or whose answer goes out, and the next."""
_TICK = 0.5
"""Seconds between two looks at all streams."""

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class _Inbox(Generic[Q]):
    """The requests of one stream, as its caller sends them and there is room."""

    def __init__(self, requests: Iterator[Q]) -> None:
        self._requests = requests
        self._room = threading.Semaphore(AHEAD)
        self._come: SimpleQueue[Q | None] = SimpleQueue()
        self._is_closed = False
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def _read(self) -> None:
        # That the call has ended is gRPC's own error here; whoever waits for requests learns it by their end.
        with suppress(grpc.RpcError):
            while self._has_room():
                request = next(self._requests, None)
                if request is None:
                    break
                self._come.put(request)
        self._come.put(None)

    def _has_room(self) -> bool:
        self._room.acquire()
        return not self._is_closed

    def next(self) -> Q | None:
        """Wait for a request and return it, or None when there are no more."""
        request = self._come.get()
        return None if self._is_closed else request

    def make_room(self) -> None:
        """Let one more request come."""
        self._room.release()

    def close(self) -> None:
        """Let no more requests come; whoever waits for one has None."""
        self._is_closed = True
        self._room.release()
        self._come.put(None)


class _Conversation:
    """One stream, as those see it who do not know what it is about.

    Attributes:
        close: lets no more requests come.
        refusal: why it must end, once it must.
        is_going_out: whether its thread waits for an answer to go out.
    """

    def __init__(
        self, context: grpc.ServicerContext, look: Callable[[Caller], None], close: Callable[[], None]
    ) -> None:
        self._context = context
        self._look = look
        self.close = close
        self.refusal: Exception | None = None
        self.is_going_out = False

    def check(self, boundary: Boundary) -> None:
        """End it if it must end; if its thread still waits for its caller at the next check, without a word."""
        if self.refusal is None:
            self.refusal = boundary.objection(self._context, self._look)
            if self.refusal is not None:
                self.close()
        elif self.is_going_out:
            self._context.cancel()


class Conversations:
    """All such streams of one process."""

    def __init__(self, boundary: Boundary, at_once: int) -> None:
        """Have no stream yet.

        Args:
            boundary: answers on behalf of the callers.
            at_once: how many requests are answered at a time; further streams wait for their turn.
        """
        self._boundary = boundary
        self._turns = threading.BoundedSemaphore(at_once)
        self._open: set[_Conversation] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="conversations", daemon=True).start()

    def hold(
        self,
        context: grpc.ServicerContext,
        requests: Iterator[Q],
        demand: Callable[[Caller], None],
        reply: Callable[[Q], A],
    ) -> Iterator[A]:
        """Yield what `reply` makes of each request, for as long as the caller may have this stream.

        Args:
            context: of the call.
            requests: as gRPC gives them.
            demand: raises if a caller may not have this stream; asked before each request, and while there is none.
            reply: answers a request, and asks for itself who the caller is and what it may do.
        """

        def look(caller: Caller) -> None:
            if self._boundary.is_stopping:
                raise ServiceStoppingError
            demand(caller)

        self._boundary.answer(context, look)
        with self._boundary.place(context), self._listed(_Inbox(requests), context, look) as (inbox, conversation):
            while (request := inbox.next()) is not None:
                with self._turns:
                    self._boundary.answer(context, look)
                    answer = reply(request)
                conversation.is_going_out = True
                yield answer
                conversation.is_going_out = False
                inbox.make_room()
            if conversation.refusal is not None:
                self._boundary.refuse(context, conversation.refusal)

    @contextmanager
    def _listed(
        self, inbox: _Inbox[Q], context: grpc.ServicerContext, look: Callable[[Caller], None]
    ) -> Iterator[tuple[_Inbox[Q], _Conversation]]:
        conversation = _Conversation(context, look, inbox.close)
        with self._lock:
            self._open.add(conversation)
        try:
            if not context.add_callback(inbox.close):
                inbox.close()
            yield inbox, conversation
        finally:
            inbox.close()
            with self._lock:
                self._open.remove(conversation)

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_TICK):
            with self._lock:
                now_open = tuple(self._open)
            for conversation in now_open:
                conversation.check(self._boundary)
