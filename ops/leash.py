"""Ending a process when its parent ends, even if that was killed."""

import os
import signal
import threading
import time

GRACE_S = 15


def follow_stdin() -> None:
    """Stop this process and its children once standard input closes.

    The supervisor holds the other end of the pipe and never writes to it. The kernel closes it even
    if the supervisor was killed. The process must lead its own process group, through which its
    children are reached.
    """
    threading.Thread(target=_wait, name="leash", daemon=True).start()


def _wait() -> None:
    # Not through `sys.stdin`: a blocked read would hold its lock, also in forked children and at
    # exit.
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)
