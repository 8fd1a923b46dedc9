"""What a person sees of a session depends on what happened: not on when it came, nor on what the
account was set to by then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cymba.accounts import profile
from cymba.accounts.tables import Account
from tests.stimulation.conftest import only_session
from tests.stimulation.worker_steps import summarise_due

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)


@pytest.mark.parametrize("order", list(permutations(["travels", "first", "rest"])), ids="-".join)
def test_a_session_is_of_the_zone_its_person_was_in_whenever_it_comes(
    session: Session, account_id: Any, tape: Any, deliver: Callable[..., Any], booted_at: datetime,
    monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...],
) -> None:  # fmt: skip
    frames = tape().start().samples(native_level=[4] * 30).end().frames
    monkeypatch.setattr(profile, "utc_now", lambda: booted_at + timedelta(hours=3))
    for step in order:
        if step == "travels":
            account = session.get_one(Account, account_id)
            profile.change(session, account, time_zone="Asia/Tokyo")
            session.flush()
        else:
            deliver(session, frames[:1] if step == "first" else frames[1:])
            summarise_due(session, now=NOW)
    row = only_session(session)
    assert (row.time_zone, row.state, row.completeness) == ("Europe/Berlin", "ended", 1)


def test_what_is_done_after_a_journey_is_of_the_new_zone(
    session: Session, account_id: Any, tape: Any, deliver: Callable[..., Any], booted_at: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    account = session.get_one(Account, account_id)
    for zone, at in (("Asia/Tokyo", -2), ("Europe/Paris", -1), ("Asia/Tokyo", 9)):
        monkeypatch.setattr(profile, "utc_now", lambda at=at: booted_at + timedelta(hours=at))
        profile.change(session, account, time_zone=zone)
    session.flush()
    deliver(session, tape().start().end().frames)
    summarise_due(session, now=NOW)
    assert only_session(session).time_zone == "Europe/Paris"
