"""How a rotation that goes on is shown: a bar on a terminal, lines elsewhere, JSON for programs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from keystead.v1.resources_pb2 import Rotation
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from server.cli.output import plain, print_json_line, say

_Draw = Callable[[Rotation], None]


def show(rotations: Iterator[Rotation], *, as_json: bool) -> None:
    """Show the rotation as it comes, and in a last line how it ended."""
    console = Console()
    last: Rotation | None = None
    with _picture(console, as_json=as_json) as draw:
        for rotation in rotations:
            draw(rotation)
            last = rotation
    if last is not None and not as_json:
        say(_end_of(last))


def _picture(console: Console, *, as_json: bool) -> AbstractContextManager[_Draw]:
    if as_json:
        return _objects()
    return _bar(console) if console.is_terminal and not console.is_dumb_terminal else _lines()


@contextmanager
def _objects() -> Iterator[_Draw]:
    yield lambda rotation: print_json_line(plain(rotation))


@contextmanager
def _lines() -> Iterator[_Draw]:
    told = ""

    def draw(rotation: Rotation) -> None:
        nonlocal told
        line = f"{_state(rotation)} {_counts(rotation)}"
        if line != told:
            told = line
            say(line + _speed(rotation))
            sys.stdout.flush()

    yield draw


@contextmanager
def _bar(console: Console) -> Iterator[_Draw]:
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
    )
    bar = progress.add_task("", total=None, told="")

    def draw(rotation: Rotation) -> None:
        progress.update(
            bar,
            description=_state(rotation),
            # An empty rotation is as complete as can be.
            total=rotation.total_count or 1,
            completed=rotation.done_count if rotation.total_count else float(rotation.HasField("end_time")),
            told=_counts(rotation) + _speed(rotation),
        )

    with progress:
        yield draw


def _state(rotation: Rotation) -> str:
    return Rotation.State.Name(rotation.state)


def _counts(rotation: Rotation) -> str:
    return f"{rotation.done_count}/{rotation.total_count}, {rotation.failed_count} failed"


def _speed(rotation: Rotation) -> str:
    if rotation.state != Rotation.RUNNING or not rotation.keks_per_second:
        return ""
    told = f", {rotation.keks_per_second:.0f}/s"
    if not rotation.HasField("estimated_end_time"):
        return told
    left = (rotation.estimated_end_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()
    return f"{told}, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _end_of(rotation: Rotation) -> str:
    if rotation.state == Rotation.CANCELLED:
        return f"The replaced key was put in charge again. KEKs re-wrapped until then: {rotation.done_count}."
    seconds = (rotation.end_time.ToDatetime(UTC) - rotation.start_time.ToDatetime(UTC)).total_seconds()
    return f"KEKs re-wrapped: {rotation.done_count}, in {seconds:.1f} s."
