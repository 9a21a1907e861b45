"""What a process has in its memory, as root reads it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path


def _areas(pid: int) -> Iterator[tuple[int, int]]:
    with Path(f"/proc/{pid}/maps").open() as maps:
        for line in maps:
            place, rights, _, _, _, *name = line.split()
            if rights.startswith("r") and not (name and name[0] in {"[vvar]", "[vvar_vclock]", "[vsyscall]"}):
                begin, end = (int(it, 16) for it in place.split("-"))
                yield begin, end


def seen_in_memory(pid: int, secrets: Mapping[str, bytes]) -> set[str]:
    """Return the names of those values that are somewhere in a process's memory."""
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for begin, end in _areas(pid):
            with suppress(OSError):  # It has gone since.
                memory.seek(begin)
                content = memory.read(end - begin)
                found |= {name for name, value in secrets.items() if value in content}
    return found
