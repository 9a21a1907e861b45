"""How many files a process may have open. Every connection is one, and Linux allows 1024 if nobody asks for more."""

import resource

_ENOUGH = 65536 * 2 + 1024
"""More than the settings can make use of."""
_OWN = 256
"""Files of a worker that are no connections: database, token, policy, numbers."""


def allow_open_files() -> None:
    """Let this process open as many files as the system allows it without a privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_at_each(addresses: int, wanted: int) -> int:
    """Return how many connections there may be at each address: as many as are wanted, and fit into the limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - _OWN) // addresses))
