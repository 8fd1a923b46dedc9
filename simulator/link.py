"""The link between a device and its broker: bursts of loss, and hours of outage."""

from dataclasses import dataclass

import numpy as np

from simulator.seeding import chance

HOUR_MS = 3_600_000.0


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a good state loses nothing, a bad one loses `loss_bad`.

    A Markov chain in continuous time (Gilbert 1960, Elliott 1963). The means are of the time spent
    in each state.
    """

    mean_good_s: float
    mean_bad_s: float
    loss_bad: float


@dataclass(frozen=True, slots=True)
class Outages:
    """No link at all: exponential times between, lognormal lengths, in simulated hours."""

    mean_between_h: float
    median_h: float
    spread: float


class Link:
    """One device's link. Call it in the order of time."""

    def __init__(
        self, loss: GilbertElliott | None, outages: Outages | None, rng: np.random.Generator
    ) -> None:
        self._loss, self._outages, self._rng = loss, outages, rng
        self._good = True
        self._turns_at_s: float | None = None
        self._outage_ms = (np.inf, np.inf)
        self._draw_outage(0.0)

    def loses(self, now_s: float) -> bool:
        """Whether a message is lost at `now_s`."""
        if self._loss is None:
            return False
        if self._turns_at_s is None:
            self._turns_at_s = now_s + self._rng.exponential(self._loss.mean_good_s)
        while now_s >= self._turns_at_s:
            self._good = not self._good
            mean_s = self._loss.mean_good_s if self._good else self._loss.mean_bad_s
            self._turns_at_s += self._rng.exponential(mean_s)
        return not self._good and chance(self._rng, self._loss.loss_bad)

    def is_up(self, world_ms: float) -> bool:
        while world_ms >= self._outage_ms[1]:
            self._draw_outage(self._outage_ms[1])
        return world_ms < self._outage_ms[0]

    def changes_ms(self) -> tuple[float, float]:
        """When the next or present outage begins and ends, in simulated ms."""
        return self._outage_ms

    def _draw_outage(self, after_ms: float) -> None:
        if self._outages is None:
            return
        begins_ms = after_ms + self._rng.exponential(self._outages.mean_between_h) * HOUR_MS
        hours = self._rng.lognormal(np.log(self._outages.median_h), self._outages.spread)
        self._outage_ms = (begins_ms, begins_ms + hours * HOUR_MS)

    def mend(self) -> None:
        """From now on nothing is lost."""
        self._loss, self._outages, self._outage_ms = None, None, (np.inf, np.inf)
