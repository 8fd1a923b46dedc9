"""The diary's items as outcomes: every item with a direction, side effects as yes or no."""

from dataclasses import dataclass
from typing import Any, Literal

from cymba.diary.items import ITEMS, Item
from cymba.diary.values import Answers

# The primary question, fixed in advance: total charge against these, on the next morning.
PRIMARY_OUTCOMES = ("pain_now", "sleep_quality", "mood", "fatigue")

DEFAULT_DIFFERENCE = 1.0  # of an outcome whose registry names none: a point of its own scale
SIDE_EFFECT_DIFFERENCE = 0.1  # ten days of a hundred


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str  # "pain_now", or "phq4.phq2" for a score of a questionnaire
    title: str
    worse: Literal["higher", "lower"]
    unit: str
    minimal_important_difference: float | None
    is_side_effect: bool
    item: str
    score: str
    recall_days: int | None  # how many days back it asks; None: too many to tell days apart

    def reaches_before(self, lag: int) -> bool:
        """Whether it also asks about the time before a session `lag` days ago. What was felt then
        leads to sessions, and would look as if it followed them."""
        return self.recall_days is None or lag < self.recall_days

    @property
    def minimal_difference(self) -> float:
        """The smallest difference that matters, in this outcome's points."""
        if self.is_side_effect:
            return SIDE_EFFECT_DIFFERENCE
        return self.minimal_important_difference or DEFAULT_DIFFERENCE

    @property
    def is_pain(self) -> bool:
        return self.item.startswith("pain_")

    @property
    def primary(self) -> bool:
        return self.name in PRIMARY_OUTCOMES

    def value(self, items: dict[str, Any]) -> float | None:
        """This outcome's number in one entry's items; None where it was not answered."""
        given = items.get(self.item)
        if given is None:
            return None
        score = ITEMS[self.item].value.scores(given).get(self.score)
        return None if score is None else float(score)


def _outcomes(item: Item) -> list[Outcome]:
    if item.worse is None:
        return []
    scores = {"total": "", "gad2": ": anxiety", "phq2": ": low mood"}
    named = scores if isinstance(item.value, Answers) else {"": ""}
    return [
        Outcome(
            name=f"{item.name}.{score}" if score else item.name,
            title=item.title + suffix,
            worse=item.worse,
            unit=item.unit or "1",
            minimal_important_difference=item.minimal_important_difference,
            is_side_effect=item.group == "side_effect",
            item=item.name,
            score=score,
            recall_days=item.recall_days,
        )
        for score, suffix in named.items()
    ]


OUTCOMES: dict[str, Outcome] = {
    outcome.name: outcome for item in ITEMS.values() for outcome in _outcomes(item)
}
