"""The one place that finds the bad delivery of a batch that the database does not take."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from sqlalchemy.exc import DataError, IntegrityError

One = TypeVar("One")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


def is_refused_data(error: Exception) -> bool:
    """The database does not take what was to be written, whenever it is tried."""
    return isinstance(error, DataError | IntegrityError | UnicodeError)


def by_halves(
    batch: Sequence[One],
    commit: Callable[[Sequence[One]], Result],
    give_up: Callable[[One], Result],
    is_own_fault: Callable[[Exception], bool] = is_refused_data,
) -> list[Result]:
    """`commit` the batch, in one transaction or, if it fails by its own fault, in halves and their
    halves, in order, until what is at fault stands alone: that one is for `give_up`.

    Raises:
        Exception: what `commit` raised and is no fault of the batch. Parts before may be committed.
    """
    try:
        return [commit(batch)]
    except Exception as error:
        if not batch or not is_own_fault(error):
            raise
        if len(batch) == 1:
            log.exception("the database does not take a delivery", error=type(error).__name__)
            return [give_up(batch[0])]
    middle = len(batch) // 2
    first = by_halves(batch[:middle], commit, give_up, is_own_fault)
    return first + by_halves(batch[middle:], commit, give_up, is_own_fault)
