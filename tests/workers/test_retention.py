"""What is past its time goes once a day, and one rule's trouble is its own."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from cymba.rights.retention import RULES, Rule
from cymba.settings import Settings
from tests.test_failures import failed
from workers import retention
from workers.retention import DAY_S, DailyRetention


class AppliedRules:
    """Stands for what is removed: which rules were applied, and the one that fails."""

    def __init__(self, failure: Exception) -> None:
        self.names: list[str] = []
        self.failure = failure
        self.bad = RULES[0].name

    def __call__(
        self, _engine: Engine, _settings: Settings, rule: Rule, _alive: Callable[[], None]
    ) -> int:
        if rule.name == self.bad:
            raise self.failure
        self.names.append(rule.name)
        return 0


def test_a_rule_that_fails_stops_no_other_and_is_tried_again_the_same_day(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied, now_s = AppliedRules(failed("22003")), [0.0]
    monkeypatch.setattr(retention, "remove_all", applied)
    monkeypatch.setattr("workers.asides.FIRST_WAIT", timedelta(0))
    daily = DailyRetention(engine, Settings(), clock=lambda: now_s[0])
    assert daily.run_once() == [applied.bad]
    others = [rule.name for rule in RULES[1:]]
    assert applied.names == others
    applied.bad = ""
    assert daily.run_once() == []
    assert applied.names == [*others, RULES[0].name]
    now_s[0] += DAY_S / 2
    daily.run_once()
    assert len(applied.names) == len(RULES)
    now_s[0] += DAY_S / 2
    daily.run_once()
    assert len(applied.names) == 2 * len(RULES)


def test_an_outage_leaves_it_all_due(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = AppliedRules(failed("53100"))
    monkeypatch.setattr(retention, "remove_all", applied)
    daily = DailyRetention(engine, Settings(), clock=lambda: 0.0)
    with pytest.raises(DBAPIError):
        daily.run_once()
    applied.bad = ""
    assert daily.run_once() == []
    assert applied.names == [rule.name for rule in RULES]
