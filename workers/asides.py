"""Items that a worker could not deal with: set aside, so that they keep no other waiting."""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from cymba.database import utc_now
from cymba.failures import is_outage, name_of
from workers.progress import Progress

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)

log = structlog.get_logger(__name__)

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Aside:
    until: datetime
    wait: timedelta


class Asides(Generic[Item]):
    """What is set aside of one kind of item, from round to round. The wait doubles each time."""

    def __init__(
        self, kind: str, progress: Progress, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._kind, self._progress, self._clock = kind, progress, clock
        self._aside: dict[Item, _Aside] = {}
        self.failed: list[Item] = []  # since the round began

    def begin_round(self) -> None:
        """Forget what nobody asked for in a long time: it was dealt with elsewhere, or is gone."""
        now = self._clock()
        self._aside = {
            item: aside
            for item, aside in self._aside.items()
            if now < aside.until + 2 * LONGEST_WAIT
        }
        self.failed = []
        self._progress.waiting(self._kind, len(self.waiting()))

    def __len__(self) -> int:
        return len(self._aside)

    def waiting(self) -> Collection[Item]:
        """Whom to leave out at the moment."""
        now = self._clock()
        return {item for item, aside in self._aside.items() if aside.until > now}

    def each(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], int], *, at_once: int = 1
    ) -> int:
        """Do `work`, a transaction of its own, with `at_once` items; one by one where that fails.

        Gives the sum of what `work` gives. Whatever an item raises sets it aside.

        Raises:
            Exception: only an outage of the database; no item is to blame for that.
        """
        waiting = self.waiting()
        ready = [item for item in items if item not in waiting]
        done = 0
        for at in range(0, len(ready), at_once):
            some = ready[at : at + at_once]
            try:
                done += work(some)
            except Exception as error:
                if is_outage(error):
                    raise
                if len(some) > 1:
                    done += self.each(some, work)
                else:
                    self._set_aside(some[0], error)
            else:
                for item in some:
                    self._aside.pop(item, None)
                self._progress.items_done(self._kind, len(some))
        return done

    def _set_aside(self, item: Item, error: Exception) -> None:
        before = self._aside.get(item)
        wait = min(before.wait * 2, LONGEST_WAIT) if before else FIRST_WAIT
        self._aside[item] = _Aside(self._clock() + wait, wait)
        self.failed.append(item)
        self._progress.item_set_aside(self._kind)
        # Without the error's text, which may quote what the item holds.
        log.error(
            "an item is set aside",
            kind=self._kind,
            item=str(item),
            error=name_of(error),
            retry_s=wait.total_seconds(),
        )
