"""Turns of batches that are worked on in this process: one at a time, in their order, and nobody waits for long."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsm_adapter import floor as module
from hsm_adapter.floor import Floor, Turns
from tests.support.service import eventually

PIECES = 200


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def pieces(turns: Turns, work: Callable[[], None], count: int = PIECES) -> None:
    """Do so many pieces of one batch."""
    try:
        for _ in range(count):
            turns.next()
            work()
    finally:
        turns.end()


def test_one_batch_is_worked_on_at_a_time(threads, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    floor, inside = Floor(), threading.Semaphore()
    alone: list[bool] = []

    def work() -> None:
        is_alone = inside.acquire(blocking=False)
        os.sched_yield()  # As a call into a library, it lets other threads run.
        alone.append(is_alone)
        if is_alone:
            inside.release()

    def batch() -> None:
        turns = Turns(floor)
        turns.next()  # The first piece waits for nobody.
        pieces(turns, work)

    for done in [threads.submit(batch) for _ in range(8)]:
        done.result(30)
    assert alone == [True] * (8 * PIECES)
    assert floor.take()


def test_a_single_piece_waits_for_nobody():
    floor = Floor()
    assert floor.take()
    done: list[bool] = []
    pieces(Turns(floor), lambda: done.append(bool(floor.waiting)), 1)
    assert done == [False]


def test_who_waits_is_let_in_in_the_order_in_which_they_came(threads, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    floor, came = Floor(), []

    def wait(number: int) -> None:
        assert floor.take()
        came.append(number)
        floor.leave()

    assert floor.take()
    waiting = []
    for number in range(4):
        waiting.append(threads.submit(wait, number))
        eventually(lambda: len(floor.waiting) == len(waiting), "it waits")
    floor.leave()
    for it in waiting:
        it.result(30)
    assert came == [0, 1, 2, 3]


def test_a_long_batch_lets_others_work_between_two_pieces(threads, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    floor, has_begun, is_over = Floor(), threading.Event(), threading.Event()

    def long_batch() -> None:
        turns = Turns(floor)
        while not is_over.is_set():
            turns.next()
            has_begun.set()
        turns.end()

    batch = threads.submit(long_batch)
    try:
        assert has_begun.wait(30)
        assert threads.submit(floor.take).result(30)
        floor.leave()
    finally:
        is_over.set()
    batch.result(30)
    assert floor.take()


def test_a_batch_goes_on_though_the_one_before_it_does_not_end():
    floor = Floor()
    assert floor.take()
    done: list[None] = []
    pieces(Turns(floor), lambda: done.append(None))
    assert len(done) == PIECES
    assert not floor.waiting
    floor.leave()
    assert floor.take()


def test_without_a_floor_all_work_side_by_side(threads):
    inside = threading.Barrier(4)

    def batch() -> None:
        pieces(Turns(None), lambda: inside.wait(30) and None, 3)

    for done in [threads.submit(batch) for _ in range(4)]:
        done.result(30)
