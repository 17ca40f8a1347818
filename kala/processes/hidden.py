"""Keeping other processes of the same user out of this one: jobs run beside it, often as the same user."""

import ctypes
import logging
import os
import sys

log = logging.getLogger(__name__)
PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide() -> None:
    """From now on no process of this user can read this one's memory or environment, in which secrets stand (Linux;
    root still can). Programs that it starts are not hidden. It leaves no core dump either."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        log.warning("jobs of this user can look into the daemon: %s", os.strerror(ctypes.get_errno()))
