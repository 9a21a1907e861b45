"""SIGTERM and SIGINT, as an event that the process can wait for."""

import queue
import signal
import threading


def stop_signal() -> threading.Event:
    """Return what SIGTERM and SIGINT set, however many of them come, and whatever they interrupt.

    The handler of a signal runs between any two steps of the main thread, and so may not set the event itself: if the
    main thread holds the event's lock just then, since it begins to wait or since another signal's handler sets it, it
    would wait for itself. SimpleQueue.put may be called there (documentation of Python's queue: it is reentrant).
    """
    stopping = threading.Event()
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait_for_one() -> None:
        signals.get()
        stopping.set()

    threading.Thread(target=wait_for_one, name="stop-signal", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    return stopping
