"""How many files, sockets and pipes among them, this process may have open at once."""

import resource
from math import inf


def open_files() -> float:
    """The limit as it is now; without one, infinity."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft
