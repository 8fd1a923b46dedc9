from datetime import UTC, date, datetime, time
from itertools import islice
from uuid import uuid4
from zoneinfo import ZoneInfo

from cymba.diary.reminders import Use, prompts
from cymba.diary.tables import Reminder

BERLIN = ZoneInfo("Europe/Berlin")


def reminder(*times: str, weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)) -> Reminder:
    return Reminder(
        id=uuid4(), local_times=list(times), weekdays=list(weekdays), items=[], enabled=True
    )


def walls(prompted: Reminder, zone: ZoneInfo, after: datetime, count: int) -> list[str]:
    found = islice(prompts(prompted, zone, after=after), count)
    return [f"{prompt.local:%a %d %H:%M%z}" for prompt in found]


def test_a_prompt_keeps_its_wall_time_over_both_changes_of_the_clock() -> None:
    spring = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert walls(reminder("08:00"), BERLIN, spring, 3) == [
        "Sat 28 08:00+0100",
        "Sun 29 08:00+0200",
        "Mon 30 08:00+0200",
    ]
    autumn = datetime(2026, 10, 23, 12, tzinfo=UTC)
    assert walls(reminder("08:00"), BERLIN, autumn, 3) == [
        "Sat 24 08:00+0200",
        "Sun 25 08:00+0100",
        "Mon 26 08:00+0100",
    ]


def test_a_skipped_time_is_prompted_after_the_gap_and_a_repeated_one_once() -> None:
    assert walls(reminder("02:30"), BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "Sun 29 03:30+0200",
        "Mon 30 02:30+0200",
    ]
    assert walls(reminder("02:30"), BERLIN, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "Sun 25 02:30+0200",
        "Mon 26 02:30+0100",
    ]


def test_weekdays_are_the_persons_own_and_travel_moves_them() -> None:
    after = datetime(2026, 5, 3, 12, tzinfo=UTC)
    mondays = reminder("07:00", weekdays=(1,))
    assert walls(mondays, ZoneInfo("Pacific/Auckland"), after, 1) == ["Mon 04 07:00+1200"]
    assert walls(mondays, ZoneInfo("America/Los_Angeles"), after, 1) == ["Mon 04 07:00-0700"]


def test_a_reminder_switched_off_prompts_nothing() -> None:
    off = reminder("07:00")
    off.enabled = False
    assert list(prompts(off, BERLIN, after=datetime(2026, 5, 3, tzinfo=UTC))) == []


def test_one_at_the_usual_hour_comes_on_days_without_a_session() -> None:
    after = datetime(2026, 3, 2, 12, tzinfo=UTC)
    usual = reminder("08:00")
    usual.at_usual_hour = True
    use = Use(time(17, 30), frozenset({date(2026, 3, 3)}))
    first, second = islice(prompts(usual, BERLIN, after=after, use=use), 2)
    assert [f"{one.local:%d %H:%M}" for one in (first, second)] == ["02 17:30", "04 17:30"]
    assert first.unless_session
    # Until there is a usual hour, at its own.
    (own,) = islice(prompts(usual, BERLIN, after=after), 1)
    assert f"{own.local:%d %H:%M}" == "03 08:00"
    (other,) = islice(prompts(reminder("08:00"), BERLIN, after=after, use=use), 1)
    assert f"{other.local:%d %H:%M}" == "03 08:00"
    assert not other.unless_session
