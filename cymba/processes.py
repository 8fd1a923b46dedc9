"""Other processes of this machine."""

import os
from pathlib import Path


def runs(pid: int) -> bool:
    """Whether the process is there, whoever's it is. One that has ended does not run, though its
    parent may not know yet."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter: no process has this number
        return False
    except PermissionError:  # somebody else's, so it runs
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # no such file system here
        return True
    return state not in "ZX"  # a zombie: it has ended
