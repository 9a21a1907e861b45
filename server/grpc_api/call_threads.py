"""The threads that answer calls. A caller that is slow to send its request keeps none of them from others.

gRPC has a thread wait for the request of a call before anybody asks who is calling. Whoever sends heads of calls, and
nothing more, would have all threads before long, without having proven anything.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident
from time import monotonic
from typing import Any

from typing_extensions import override

PATIENCE = 10.0
"""Seconds for which a request is waited for."""
HASTE = 1.0
"""The same when all threads are taken and calls wait for one."""
_TICK = 0.25


class CallThreads(ThreadPoolExecutor):
    """What gRPC hands its calls to: it does nothing with it but submit, and takes nothing but a ThreadPoolExecutor."""

    def __init__(self, threads: int) -> None:
        """Have `threads` of them, which are begun when they are needed."""
        super().__init__(threads, thread_name_prefix="call")
        self._arriving: dict[int, tuple[float, tuple[Any, ...]]] = {}
        """Since when each thread is at a call whose request has not come, and what gRPC has said of it."""
        threading.Thread(target=self._watch, name="arrivals", daemon=True).start()

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **_kwargs: Any) -> "Future[Any]":
        return super().submit(self._answer, fn, args)

    def _answer(self, run: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - gRPC's own
        thread = get_ident()
        self._arriving[thread] = monotonic(), arguments
        try:
            return run(*arguments)
        finally:
            self._arriving.pop(thread, None)

    def has_arrived(self) -> None:
        """Be told, by the thread of a call, that its request has come, or that it waits for none."""
        self._arriving.pop(get_ident(), None)

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_TICK):
            patience = HASTE if self._work_queue.qsize() else PATIENCE
            now = monotonic()
            for since, arguments in list(self._arriving.values()):
                if now - since >= patience:
                    _hang_up(arguments)


def _hang_up(arguments: tuple[Any, ...]) -> None:
    """End a call before its request has come; its thread is told, and so is its caller: CANCELLED."""
    for it in arguments:
        if hasattr(it, "call_details"):  # gRPC's event that a call has come.
            it.call.cancel()
