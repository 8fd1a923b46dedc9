"""A file that stands under its name only when it is whole."""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600


@contextmanager
def replaced(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A draft beside `path`, which takes its place in the end; after an error it goes, and what was
    there stays. Whoever writes the same file at the same time has a draft of their own, and what a
    process that was killed has left goes. Once it is there, a power cut does not undo it.

    `mode`: who may read it; the umask takes from that.
    """
    _remove_left(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as out:
            _hold(out)
            yield out
            out.flush()
            os.fsync(out.fileno())
            draft.replace(path)  # while it is held: nobody takes it for one that was left
        _sync_names(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _remove_left(path: Path) -> None:
    """The drafts that nobody holds."""
    is_draft = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part").fullmatch
    with suppress(PermissionError):  # the folder may be written and not read
        for left in [one for one in path.parent.iterdir() if is_draft(one.name)]:
            with suppress(OSError), open(left, "rb", opener=_as_it_is) as draft:
                # One that is still empty is just being made, and not held yet.
                if os.fstat(draft.fileno()).st_size and _hold(draft):
                    left.unlink()


def _as_it_is(name: str, flags: int) -> int:
    """Others may write there: no link is followed, and no pipe is waited for."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _hold(draft: BinaryIO) -> bool:
    """Until it is closed or its process ends. False if somebody else holds it."""
    try:
        fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # or the file system has no locks: then what is left stays
        return False
    return True


def _sync_names(folder: Path) -> None:
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written and not read
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
