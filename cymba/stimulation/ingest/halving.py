"""Finding the bad delivery of a batch that the database rejects."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from cymba.failures import is_refused

One = TypeVar("One")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


def by_halves(
    batch: Sequence[One],
    commit: Callable[[Sequence[One]], Result],
    give_up: Callable[[One], Result],
    is_own_fault: Callable[[Exception], bool] = is_refused,
) -> list[Result]:
    """`commit` the batch in one transaction. If its data is rejected, halve it, in order, until the
    bad delivery stands alone: that one goes to `give_up`.

    Raises:
        Exception: `commit` failed for another reason. Parts before may be committed.
    """
    try:
        return [commit(batch)]
    except Exception as error:
        if not batch or not is_own_fault(error):
            raise
        if len(batch) == 1:
            log.exception("the database rejects a delivery", error=type(error).__name__)
            return [give_up(batch[0])]
    middle = len(batch) // 2
    first = by_halves(batch[:middle], commit, give_up, is_own_fault)
    return first + by_halves(batch[middle:], commit, give_up, is_own_fault)
