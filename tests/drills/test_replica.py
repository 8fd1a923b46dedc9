"""Large reads leave the primary alone where a replica follows, and never show anything old."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from cymba import large_reads
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.large_reads import EndOfLog, LargeReads
from cymba.operations.log_lag import ReplicaLag
from cymba.settings import Settings
from ops import grants
from ops.postgres import EmbeddedPostgres
from service.http.services import Services
from simulator.people import World
from tests.drills.table import ROWS, DrillRow
from tests.end_to_end.parts import wait_until
from tests.insights.people import enrol, live_in_database
from tests.ops.services_role import ROLE, as_role
from tests.service.conftest import ApiUser
from tests.standby import Standby
from workers.insights import InsightsWorker

PAUSE, RESUME = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"
WHERE = text("SELECT pg_is_in_recovery()")


@pytest.fixture(scope="module")
def standby(postgres_server: EmbeddedPostgres) -> Iterator[Standby]:
    made = Standby(postgres_server)
    yield made
    made.stop()


@pytest.fixture
def replica(standby: Standby, database_url: str) -> Iterator[Engine]:
    engine = make_engine(standby.database(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def reads(engine: Engine, replica: Engine, registry: CollectorRegistry) -> LargeReads:
    return LargeReads(engine, replica, registry)


@pytest.fixture
def passed_over(registry: CollectorRegistry) -> Callable[[str], float | None]:
    return lambda reason: registry.get_sample_value(
        "cymba_replica_passed_over_total", {"reason": reason}
    )


@pytest.fixture
def app(app: Flask, settings: Settings, engine: Engine, replica: Engine) -> Flask:
    app.extensions |= Services.make(settings, engine, replica).attach()
    return app


@pytest.fixture
def paused(standby: Standby) -> Iterator[Callable[[], object]]:
    """The replica receives what the primary writes, and shows none of it, until this is called."""
    standby.say(PAUSE)
    state = "SELECT pg_get_wal_replay_pause_state()"
    wait_until(lambda: standby.say(state) == [("paused",)], what="it rests")
    yield lambda: standby.say(RESUME)
    standby.say(RESUME)


def count(app: Flask, server: str) -> float:
    registry = Services.of(app).metrics.registry
    return registry.get_sample_value("cymba_large_reads_total", {"server": server}) or 0.0


def is_on_replica(session: Session) -> bool:
    return bool(session.scalar(WHERE))


class Diary:
    def __init__(self, client: FlaskClient, person: ApiUser) -> None:
        self.client, self.headers = client, person.headers
        self.written: list[str] = []

    def write(self) -> None:
        name = f"ibuprofen {len(self.written)}"
        items = {"medication": [{"name": name}]}
        body = {"felt_at": utc_now().isoformat(), "time_zone": "UTC", "items": items}
        made = self.client.put(f"/v1/diary/{uuid4()}", json=body, headers=self.headers)
        assert made.status_code == 201, made.json
        self.written.append(name)

    def report(self) -> list[str]:
        answer = self.client.get("/v1/report", headers=self.headers)
        assert answer.status_code == 200, answer.json
        return [name for name in self.written if name in answer.text]

    def archive(self) -> list[str]:
        answer = self.client.get("/v1/account/export", headers=self.headers)
        assert answer.status_code == 200
        rows = zipfile.ZipFile(io.BytesIO(answer.data)).read("tables/diary_entry.jsonl").decode()
        answer.close()
        return [name for name in self.written if name in rows]


@pytest.fixture
def diary(client: FlaskClient, person: ApiUser) -> Diary:
    return Diary(client, person)


@pytest.mark.drill
def test_what_was_just_written_is_shown_while_the_replica_is_behind(
    diary: Diary,
    app: Flask,
    engine: Engine,
    replica: Engine,
    paused: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_reads, "REST_S", 0.0)
    lag, now = ReplicaLag(replica), datetime(2026, 3, 1, tzinfo=UTC)
    with monkeypatch.context() as impatient:
        impatient.setattr(large_reads, "WAIT_S", 0.1)
        for show in (diary.report, diary.archive):
            diary.write()
            assert show() == diary.written
    assert (count(app, "primary"), count(app, "replica")) == (2, 0)
    with UnitOfWork(engine) as session:
        lag.read(session, now)
        behind = lag.read(session, now + timedelta(minutes=2))
    assert (behind.answers, behind.behind.s) == (True, 120)
    assert behind.behind.bytes
    began_s = time.monotonic()
    paused()

    def is_used() -> bool:
        assert diary.report() == diary.written
        return count(app, "replica") > 0

    wait_until(is_used, what="the replica is read again")
    saw = f"cymba_replica_lag_seconds {behind.behind.s:.0f}, CymbaReplicaNotRead"
    ROWS.append(DrillRow("replica behind", time.monotonic() - began_s, None, None, saw))
    with UnitOfWork(engine) as session:
        assert lag.read(session, now + timedelta(minutes=3)).behind.s == 0


def test_each_large_read_waits_for_a_replica_that_follows(diary: Diary, app: Flask) -> None:
    for _ in range(2):
        diary.write()
        assert diary.report() == diary.written
        assert diary.archive() == diary.written
    assert (count(app, "primary"), count(app, "replica")) == (0, 4)


def test_findings_are_computed_of_days_that_a_replica_has(
    engine: Engine, session: Session, reads: LargeReads, registry: CollectorRegistry
) -> None:
    account_id = enrol(session)
    live_in_database(session, account_id, World(days=40), seed=1, first_day=date(2026, 1, 5))
    session.commit()
    done = InsightsWorker(engine, reads=reads).run_once()
    assert (done.refreshed, done.failed) == (1, [])
    assert done.announced > 0
    assert registry.get_sample_value("cymba_large_reads_total", {"server": "replica"}) == 1


def test_the_role_of_the_services_may_ask_how_far_both_are(
    database_url: str, standby: Standby, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_reads, "REST_S", 0.0)
    assert isinstance(grants.grant(engine, ROLE), grants.Granted)
    primary = make_engine(as_role(engine))
    there = make_url(standby.database(database_url)).set(username=ROLE)
    replica = make_engine(there.render_as_string(hide_password=False))
    try:
        reads = LargeReads(primary, replica)
        wait_until(lambda: reads.read(is_on_replica), what="the role is there too, and may")
        with UnitOfWork(primary) as session:
            assert ReplicaLag(replica).read(session, utc_now()).answers
    finally:
        primary.dispose()
        replica.dispose()


def cancel(session: Session) -> None:
    """The primary changes a table while it is read here."""
    session.execute(text("SELECT pg_sleep(100)"))


def end(session: Session, standby: Standby) -> None:
    """The same, between two statements."""
    pid = session.scalar(text("SELECT pg_backend_pid()"))
    alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    wait_until(lambda: not standby.say(alive, pid), what="its connection is ended")


@pytest.mark.parametrize("is_idle", [False, True])
def test_a_read_that_the_replica_cancels_is_done_on_the_primary(
    reads: LargeReads, passed_over, database_url: str, standby: Standby, is_idle: bool
) -> None:
    def work(session: Session) -> bool:
        session.execute(text("SELECT count(*) FROM account"))
        if is_on_replica(session):
            with psycopg.connect(database_url) as primary:
                primary.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
                primary.execute("SELECT pg_current_xact_id()")
            if is_idle:
                end(session, standby)
            else:
                cancel(session)
        return is_on_replica(session)

    assert reads.read(work) is False
    assert passed_over("failed") == 1


def test_pieces_that_a_client_has_are_never_sent_again(reads: LargeReads) -> None:
    """What fails later than the first piece is cut off."""

    def pieces(session: Session) -> Iterator[bool]:
        yield is_on_replica(session)
        session.execute(text("SELECT 1 / 0"))

    read = reads.stream(pieces)
    assert next(read) is True
    with pytest.raises(Exception, match="division by zero"):
        next(read)


def test_a_replica_that_is_stopped_costs_nobody_an_answer(
    diary: Diary, app: Flask, standby: Standby, engine: Engine, replica: Engine
) -> None:
    diary.write()
    assert diary.report() == diary.written
    standby.stop()
    try:
        diary.write()
        assert diary.report() == diary.written
        assert diary.archive() == diary.written  # while it rests, nobody asks for it
        with UnitOfWork(engine) as session:
            assert not ReplicaLag(replica).read(session, utc_now()).answers
    finally:
        standby.start()
    assert (count(app, "primary"), count(app, "replica")) == (2, 1)


@pytest.mark.parametrize("field", ["timeline", "cluster"])
def test_a_replica_of_another_past_is_not_read(
    reads: LargeReads, passed_over, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """After a failover the place in the log alone says nothing: it may have left the history."""
    end_of_log = large_reads._end_of_log

    def elsewhere(primary: Engine) -> EndOfLog | None:
        end = end_of_log(primary)
        return end and (
            end._replace(timeline=2) if field == "timeline" else end._replace(cluster=1)
        )

    monkeypatch.setattr(large_reads, "_end_of_log", elsewhere)
    assert reads.read(is_on_replica) is False
    assert passed_over("another-primary") == 1


def test_an_archive_is_not_begun_where_it_would_be_cancelled(
    reads: LargeReads, standby: Standby
) -> None:
    def feedback(value: str) -> None:
        standby.say(f"ALTER SYSTEM SET hot_standby_feedback = {value}")
        standby.say("SELECT pg_reload_conf()")
        show = "SHOW hot_standby_feedback"
        wait_until(lambda: standby.say(show) == [(value,)], what="it is set")

    def pieces(session: Session) -> Iterator[bool]:
        yield is_on_replica(session)

    assert list(reads.stream(pieces)) == [True]
    feedback("off")
    try:
        assert list(reads.stream(pieces)) == [False]
        assert reads.read(is_on_replica) is True
    finally:
        feedback("on")
