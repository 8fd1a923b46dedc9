"""Items that failed: a worker sets them aside and retries them with backoff."""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from cymba import spans
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
    """The items of one kind that are set aside. The delay doubles with each failure."""

    def __init__(
        self, kind: str, progress: Progress, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._kind, self._progress, self._clock = kind, progress, clock
        self._aside: dict[Item, _Aside] = {}
        self.failed: list[Item] = []  # since the round began

    def begin_round(self) -> None:
        """Forget items that have not come up in a long time: others dealt with them, or they are
        gone."""
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
        """The items to leave out at the moment."""
        now = self._clock()
        return {item for item, aside in self._aside.items() if aside.until > now}

    def each(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], int], *, at_once: int = 1
    ) -> int:
        """Call `work` with up to `at_once` items, in a transaction of its own; one by one if that
        fails.

        Returns the sum of what `work` returns. An item that raises is set aside.

        Raises:
            Exception: only for an outage of the database, which is no item's fault.
        """
        waiting = self.waiting()
        ready = [item for item in items if item not in waiting]
        done = 0
        for at in range(0, len(ready), at_once):
            some = ready[at : at + at_once]
            try:
                with spans.span(self._kind, items=len(some)):
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
        # Without the error's text, which may quote the item's content.
        log.error(
            "an item failed and is set aside",
            kind=self._kind,
            item=str(item),
            error=name_of(error),
            retry_s=wait.total_seconds(),
        )
