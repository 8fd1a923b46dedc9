"""All that the sentence of a finding rests on."""

from typing import Any, NamedTuple

import orjson


class Told(NamedTuple):
    exposure: str
    outcome: str
    lag: int
    grade: str
    reasons: tuple[str, ...]
    milestone: int
    pairs_now: int
    effect: float | None
    low: float | None
    high: float | None
    sequential_p: float | None
    more_days_low: int | None
    more_days_high: int | None
    of_trial: bytes | None

    @property
    def trial(self) -> dict[str, Any] | None:
        return None if self.of_trial is None else orjson.loads(self.of_trial)
