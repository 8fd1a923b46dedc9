"""Findings are computed once, whoever runs, and one account's trouble is its own."""

import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cymba.accounts.tables import Change
from cymba.database import UnitOfWork
from cymba.devices.tables import DeviceTenure
from cymba.insights import findings
from cymba.insights.tables import Experiment, Finding, InsightState
from cymba.rights import consents
from simulator.people import World
from tests.insights.people import enrol, live_in_database
from tests.test_failures import failed
from workers import insights
from workers.insights import InsightsWorker
from workers.progress import Progress

MONTH = World(days=40)


@pytest.fixture
def people(session: Session) -> list:
    made = []
    for seed in range(4):
        account_id = enrol(session)
        live_in_database(session, account_id, MONTH, seed=seed, first_day=date(2026, 1, 5))
        made.append(account_id)
    session.commit()
    return made


def test_a_round_computes_who_is_due_and_the_next_has_nothing_to_do(
    engine: Engine, session: Session, people: list
) -> None:
    done = InsightsWorker(engine).run_once()
    assert (done.refreshed, done.failed, done.more) == (4, [], False)
    announced = session.scalar(select(func.count()).where(Change.kind == "finding"))
    assert announced == done.announced > 4 * 4
    again = InsightsWorker(engine).run_once()
    assert (again.refreshed, again.announced) == (0, 0)
    assert set(session.scalars(select(InsightState.account_id))) == set(people)


def test_workers_at_once_share_the_accounts(
    engine: Engine, people: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list = []
    refresh = insights.refresh  # type: ignore[attr-defined]

    def counted(session, account_id, **given):
        computed.append(account_id)
        return refresh(session, account_id, **given)

    monkeypatch.setattr(insights, "refresh", counted)
    threads = [threading.Thread(target=InsightsWorker(engine).run_once) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == sorted(people)


def test_an_account_that_cannot_be_computed_keeps_no_other_waiting(
    engine: Engine, session: Session, people: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, broken = insights.refresh, people[1]  # type: ignore[attr-defined]

    def fragile(session, account_id, **given):
        if account_id == broken:
            raise ArithmeticError("of this one alone")
        return refresh(session, account_id, **given)

    monkeypatch.setattr(insights, "refresh", fragile)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    clock = [now]
    one = InsightsWorker(engine, clock=lambda: clock[0])
    assert one.run_once().failed == [broken]
    assert one.run_once().failed == []  # it is set aside
    assert set(session.scalars(select(Finding.account_id))) == set(people) - {broken}
    session.rollback()
    monkeypatch.undo()
    clock[0] = now + timedelta(hours=1)
    assert one.run_once().refreshed == 1
    assert set(session.scalars(select(Finding.account_id))) == set(people)


def test_a_trial_that_cannot_be_ended_keeps_neither_trials_nor_accounts_waiting(
    engine: Engine, session: Session, people: list
) -> None:
    """The bad one's days run by the clock of a place that is not there any more."""
    held = dict(session.execute(select(DeviceTenure.account_id, DeviceTenure.device_id)).all())
    session.add_all(
        Experiment(
            account_id=account_id,
            device_id=held[account_id],
            outcome="pain_now",
            pairs=6,
            block_days=1,
            first_day=date(2126, 1, 5),
            time_zone="UTC" if number else "Atlantis/Poseidonis",
            plan={},
            seal="",
            seed=b"x" * 32,
            sealed_at=datetime(2026, 1, 4, tzinfo=UTC),
        )
        for number, account_id in enumerate(people)
    )
    session.commit()
    progress = Progress()
    done = InsightsWorker(engine, progress).run_once()
    assert (done.failed, done.refreshed) == ([people[0]], 4)
    looked_at = progress.registry.get_sample_value("cymba_worker_items_total", {"kind": "trial"})
    assert looked_at == 3


def test_a_full_disk_is_no_accounts_fault(
    engine: Engine, people: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise failed("53100")

    monkeypatch.setattr(insights, "refresh", full)
    worker = InsightsWorker(engine)
    with pytest.raises(DBAPIError):
        worker.run_once()
    monkeypatch.undo()
    assert worker.run_once().refreshed == len(people)


def test_consent_taken_back_while_findings_are_computed_leaves_none(
    engine: Engine, session: Session, people: list
) -> None:
    account_id, now = people[0], datetime.now(UTC)

    def withdraw() -> None:
        with UnitOfWork(engine) as own, own.begin():
            consents.withdraw(own, account_id, "insights", now=now)

    assert findings.claim_due(session, account_id)
    assert findings.refresh(session, account_id, now=now)
    withdrawing = threading.Thread(target=withdraw)
    withdrawing.start()
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with engine.connect() as connection:
        while withdrawing.is_alive() and not connection.scalar(waits):
            connection.rollback()
    session.commit()
    withdrawing.join()
    stored = select(func.count()).where(Finding.account_id == account_id)
    assert session.scalar(stored) == 0
