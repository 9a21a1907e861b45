"""What a process takes: memory, threads, open files."""

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Footprint:
    """What a process takes at one moment; memory in bytes."""

    resident: int
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        folder = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        kibibytes, unit = status["VmRSS"].split()
        assert unit == "kB", unit
        return cls(1024 * int(kibibytes), int(status["Threads"]), len(list((folder / "fd").iterdir())))


def processor_seconds(pid: int) -> float:
    """What a process has taken of the processor until now, in all its threads."""
    # The name, in parentheses, may hold anything; the times are the 14th and 15th field.
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
