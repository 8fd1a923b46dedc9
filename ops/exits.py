"""The exit statuses of `cymba`. `docs/operating.md` has the same table."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILED = 1  # it was tried, and the message says what went wrong
    USAGE = 2  # an argument or a CYMBA_* variable is wrong; nothing was tried
    UNMET = 3  # the answer is no: schema behind, nothing found, frames missing
    UNREACHABLE = 4  # the database or the broker does not answer; try again later
    INTERRUPTED = 130  # as the shell reports a Ctrl-C
