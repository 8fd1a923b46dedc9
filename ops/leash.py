"""A process that ends when the one that started it ends, however that came about."""

import os
import signal
import threading
import time

GRACE_S = 15


def follow_stdin() -> None:
    """Stop this process and its children once standard input closes.

    The supervisor holds the other end of the pipe and never writes to it. The kernel closes it
    even where the supervisor was killed with no chance to clean up. The process must lead its own
    process group, which is how its children are reached.
    """
    threading.Thread(target=_wait, name="leash", daemon=True).start()


def _wait() -> None:
    # Not through `sys.stdin`: its lock would be held for good, also in children that are forked
    # meanwhile, and at the end of the process.
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)
