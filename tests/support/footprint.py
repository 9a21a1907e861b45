"""What a process takes: memory, threads, open files."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


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
