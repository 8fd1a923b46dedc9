"""The audit log's months: made ahead, dropped whole once all of them is past, and no entry lost."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, text

from cymba.accounts import audit
from cymba.accounts.tables import Account, AuditEntry
from cymba.database import UnitOfWork, utc_now

NOW = utc_now()
MADE = "SELECT name FROM audit_log.part WHERE ends_at IS NOT NULL ORDER BY ends_at"


@pytest.fixture
def without_earlier(engine: Engine) -> Engine:
    """As it is once all that was written before the log was divided has gone."""
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_log.earlier"))
    return engine


def month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def part_of(engine: Engine, at: datetime) -> None:
    begins, ends = month(at), month(month(at) + timedelta(days=32))
    with engine.begin() as connection:
        connection.execute(
            text(
                f"CREATE TABLE audit_log.{begins:m%Y_%m} PARTITION OF audit_entry"
                f" FOR VALUES FROM ('{begins}') TO ('{ends}')"
            )
        )


def noted(engine: Engine, *times: datetime) -> None:
    with UnitOfWork(engine) as session, session.begin():
        ana = Account(email="ana@example.org")
        session.add(ana)
        session.flush()
        for at in times:
            session.add(
                AuditEntry(
                    account_id=ana.id, at=at, actor_kind="system", actor_id="", action="x",
                    detail={},
                )
            )  # fmt: skip


def left(engine: Engine) -> list[datetime]:
    with UnitOfWork(engine) as session:
        return list(session.scalars(select(AuditEntry.at).order_by(AuditEntry.at)))


def removed(engine: Engine, before: datetime) -> list[int]:
    counts = []
    while not counts or counts[-1]:
        with UnitOfWork(engine) as session, session.begin():
            counts.append(audit.remove_past(session, before, 100))
    return counts[:-1]


def test_a_month_goes_when_all_of_it_is_past_and_what_is_in_none_by_rows(
    without_earlier: Engine,
) -> None:
    engine = without_earlier
    past = month(datetime(2020, 5, 5, tzinfo=UTC))
    after = month(past + timedelta(days=32))
    for at in (past, after):
        part_of(engine, at)
    stray = datetime(2019, 1, 1, tzinfo=UTC)  # in no month: nobody made one
    noted(engine, stray, past, after - timedelta(microseconds=1), after, NOW)
    assert removed(engine, after - timedelta(microseconds=1)) == [1]  # the stray alone
    assert removed(engine, after + timedelta(days=1)) == [1]
    assert left(engine) == [after, NOW]
    with engine.connect() as connection:
        assert connection.scalars(text(MADE)).all() == ["m2020_06"]


def test_months_are_made_ahead_once_and_start_where_the_first_part_ends(
    without_earlier: Engine,
) -> None:
    with UnitOfWork(without_earlier) as session, session.begin():
        assert audit.make_months(session) in (2, 3, 4)
        assert audit.make_months(session) == 0
        made = audit.made_months(session, NOW)
        assert made.until > NOW + timedelta(days=audit.MONTHS_MADE_DAYS_AHEAD)
        assert made.outside == 0


def test_the_first_part_reaches_three_months_ahead(engine: Engine) -> None:
    with UnitOfWork(engine) as session, session.begin():
        assert audit.make_months(session) == 0
        assert audit.made_months(session, NOW).until > NOW + timedelta(days=85)


def test_an_entry_that_fits_no_month_is_kept_and_counted_and_its_month_stays_without_a_part(
    without_earlier: Engine,
) -> None:
    """Nobody made parts in time; or the clock was far ahead for a while."""
    engine = without_earlier
    ahead = month(NOW) + timedelta(days=35)
    noted(engine, NOW, ahead)
    with UnitOfWork(engine) as session, session.begin():
        assert audit.make_months(session) > 0
        made = audit.made_months(session, NOW)
        assert made.outside == 2
        assert made.until > ahead
    assert left(engine) == [NOW, ahead]
    noted_months = [f"{month(at):m%Y_%m}" for at in (NOW, ahead)]
    with engine.connect() as connection:
        assert not set(connection.scalars(text(MADE))) & set(noted_months)


def test_nothing_younger_than_a_month_is_dropped_whatever_is_asked(
    without_earlier: Engine,
) -> None:
    part_of(without_earlier, NOW)
    noted(without_earlier, NOW)
    with without_earlier.begin() as connection:
        for before in ("'infinity'", "now()", "NULL"):
            assert connection.scalar(text(f"SELECT drop_audit_month({before})")) == 0
    assert left(without_earlier) == [NOW]
