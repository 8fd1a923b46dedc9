"""The primary is gone, and its replica is promoted: as the page on operating says it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.engine import make_url

from cymba.accounts import outbox
from cymba.database import BoundedConnection, UnitOfWork, make_engine, utc_now
from cymba.devices.provisioning import Credentials, provision
from cymba.diary.tables import DiaryEntry
from cymba.operations import queues
from cymba.settings import Settings
from ops.postgres import EmbeddedPostgres
from tests.drills.everything_else import EverythingElse
from tests.drills.table import ROWS, DrillRow
from tests.drills.world import DrilledWorld, judge, scripted
from tests.end_to_end.parts import Broker, wait_until
from tests.held_database import held_database
from tests.insights.people import agree
from tests.service.conftest import SECRET_KEY, ApiUser
from tests.standby import Standby

TO = ("before@example.org", "after@example.org")
SAW = "503, `/readyz` 503; each worker's `/healthz`: the last round failed (…)"


@pytest.fixture
def synchronous(postgres_server: EmbeddedPostgres, database_url: str) -> Iterator[Standby]:
    """A replica that has what the primary says is committed."""
    standby = Standby(postgres_server)
    admin = create_engine(make_engine(database_url).url, isolation_level="AUTOCOMMIT")
    name = admin.url.database

    def say(*statements: str) -> None:
        with admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        admin.dispose()

    say(
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        f'ALTER DATABASE "{name}" SET synchronous_commit = on',
        "SELECT pg_reload_conf()",
    )
    yield standby
    say(
        "ALTER SYSTEM RESET synchronous_standby_names",
        "SELECT pg_reload_conf()",
        f'ALTER DATABASE "{name}" RESET ALL',
    )
    admin.dispose()
    standby.stop()


@pytest.fixture
def settings(tmp_path: Path, broker: Broker) -> Settings:
    return Settings(data_dir=tmp_path, secret_key=SECRET_KEY, broker_url=broker.bridge_url)


@pytest.fixture
def enrolled(person: ApiUser, engine: Engine) -> ApiUser:
    with UnitOfWork(engine) as session, session.begin():
        agree(session, person.id, "insights")
        outbox.enqueue(session, account_id=None, recipient=TO[0], subject="s", body="b")
    return person


@pytest.mark.slow
@pytest.mark.drill
def test_a_promoted_replica_has_all_that_was_acknowledged_and_every_process_goes_on(
    synchronous: Standby,
    database_url: str,
    broker: Broker,
    devices: list[Credentials],
    settings: Settings,
    enrolled: ApiUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BoundedConnection, "patience_s", 1.0)
    there = synchronous.database(database_url)
    promoted: Engine = make_engine(there)
    with held_database(database_url) as held, ExitStack() as stack:
        stack.callback(promoted.dispose)
        url = either(held.url, there)
        world = DrilledWorld(held, broker, scripted(broker, devices), url)
        stack.callback(world.stop)
        others = EverythingElse(url, settings, enrolled)
        stack.callback(others.stop)
        diarist = others.diarist
        wait_until(lambda: len(diarist.pushed) > 2, what="entries are taken")
        wait_until(lambda: not others.problems() and others.ready() == 200, what="all is well")
        wait_until(lambda: len(mails(others)) == 1, what="the mail is sent")

        held.die()
        world.fleet.allow(0.7)
        told: list[str] = []

        def is_told() -> bool:
            told.extend(filter(None, [world.bridge.bridge.ill_health()]))
            return bool(told)

        wait_until(is_told, what="the bridge tells of it")
        wait_until(lambda: diarist.statuses[503] > 0 and others.ready() == 503, what="the API does")
        wait_until(lambda: len(others.problems()) == len(others.workers), what="every worker does")
        assert synchronous.say("SELECT pg_promote()") == [(True,)]
        began_s = time.monotonic()
        judge(world, promoted, "promoted replica", told[0])

        pushed = len(diarist.pushed)
        wait_until(lambda: len(diarist.pushed) > pushed + 2, what="entries are taken again")
        wait_until(
            lambda: not others.problems() and others.ready() == 200,
            what=lambda: f"all is well again: {others.problems()}",
        )
        recovery_s = time.monotonic() - began_s
        fresh = go_on(promoted)
        wait_until(lambda: len(mails(others)) == 2, what="a new mail is sent")
        wait_until(lambda: fresh in others.passwords.read_text(), what="the broker's file has it")
        diarist.stop()
        wait_until(lambda: waiting(promoted) == (0, 0), what="sessions and findings are made")
        assert all(one.is_alive for one in others.workers.values())
        with UnitOfWork(promoted) as session:
            stored = list(session.scalars(select(DiaryEntry.id)))
        lost = len(diarist.pushed - set(map(str, stored)))
        doubled = len(stored) - len(diarist.pushed) + lost
        ROWS.append(DrillRow("promoted replica, all else", recovery_s, lost, doubled, SAW))
        assert (lost, doubled) == (0, 0)
        assert set(diarist.statuses) == {200, 503}
        assert len(mails(others)) == 2


def mails(others: EverythingElse) -> list[Path]:
    return list(others.outbox.glob("*.eml"))


def go_on(engine: Engine) -> str:
    """Something new for each: a mail, and a device, whose id it gives."""
    with UnitOfWork(engine) as session, session.begin():
        outbox.enqueue(session, account_id=None, recipient=TO[1], subject="s", body="b")
        return next(provision(session, "ear_cymba")).device_id


def waiting(engine: Engine) -> tuple[int, int]:
    with UnitOfWork(engine) as session:
        return (
            queues.sessions_to_summarise(session, utc_now()).waiting,
            queues.accounts_to_compute(session, utc_now()).waiting,
        )


def either(*urls: str) -> str:
    """A URL that leads to the server among these that takes writes."""
    first = make_url(urls[0])
    hosts = []
    for url in map(make_url, urls):
        host = url.query.get("host", url.host)
        hosts.append(f"{host}:{url.port or 5432}")
    query = {"host": tuple(hosts), "target_session_attrs": "read-write"}
    return first.set(host=None, port=None, query=query).render_as_string(hide_password=False)
