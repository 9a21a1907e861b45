"""What a process holds in memory stays there."""

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Have no core dump made of this process, and its memory read by no other process of its user.

    The limit alone would not do: it does not hold where the system hands dumps to a program. Source: prctl(2), core(5).

    Raises:
        OSError: the system refuses it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
