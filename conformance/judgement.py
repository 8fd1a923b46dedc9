"""The findings of the judges, and the verdict on each rule."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from conformance.rules import HIDDEN_BY, JUDGED, in_order

Outcome = Literal["kept", "broken", "unseen"]
MOST_LISTED = 3  # breaches of a rule that are listed


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """`seen` is how often the rule was kept or broken, `breaches` lists the first breaches.

    `hidden_by` names the broken rule for which this one could not be judged.
    """

    rule: str
    outcome: Outcome
    seen: int
    breaches: tuple[str, ...] = ()
    hidden_by: str | None = None


@dataclass(slots=True)
class Tally:
    kept: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[str]] = field(default_factory=dict)

    def keeps(self, *rules: str) -> None:
        self.kept.update(rules)

    def breaks(self, rule: str, how: str) -> None:
        self.broken[rule] += 1
        listed = self.listed.setdefault(rule, [])
        if len(listed) < MOST_LISTED:
            listed.append(how)

    def judge(self, rule: str, holds: bool, how: Callable[[], str] | str) -> None:
        if holds:
            self.keeps(rule)
        else:
            self.breaks(rule, how if isinstance(how, str) else how())


def verdicts(tally: Tally, rules: Iterable[str] | None = None) -> list[RuleVerdict]:
    """One for each rule, in the order of the protocol's page."""
    hidden = {
        rule: cause for cause, rules in HIDDEN_BY.items() if tally.broken[cause] for rule in rules
    }
    return [_verdict(tally, rule, hidden.get(rule)) for rule in rules or in_order(JUDGED)]


def _verdict(tally: Tally, rule: str, hidden_by: str | None) -> RuleVerdict:
    kept, broken = tally.kept[rule], tally.broken[rule]
    if hidden_by is not None:
        return RuleVerdict(rule, "unseen", 0, hidden_by=hidden_by)
    if broken:
        return RuleVerdict(rule, "broken", kept + broken, tuple(tally.listed[rule]))
    return RuleVerdict(rule, "kept" if kept else "unseen", kept)
