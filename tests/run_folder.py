"""The temporary folder of a run. All runs of a user share pytest's usual one, and each new run
closes it to other users: a PostgreSQL that root starts is one, and would lose its data."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "cymba-test-run-"


def make() -> Path:
    """A folder that this process holds as long as it lives; those that nobody holds any more, of
    runs that failed or were killed, are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        held = _hold(left)
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        if _hold(folder) is not None and folder.exists():  # else another run took it for left
            return folder


def _hold(folder: Path) -> int | None:
    """The lock on a folder, which is free once its holder has ended; None where another has it."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # just removed, or another user's
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened
