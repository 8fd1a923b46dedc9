"""Many share few connections to the database, through PgBouncer in transaction mode."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from cymba.database import SESSION, make_engine
from ops import cli, grants
from ops.postgres import EmbeddedPostgres
from tests.ops.services_role import ROLE, as_role
from tests.pgbouncer import PgBouncer
from tests.programs import needs
from tests.service.bodies import FAINTED, operation
from tests.service.conftest import ApiUser, Worn

pytestmark = needs("pgbouncer")
CONNECTIONS = 2


@pytest.fixture(scope="module")
def pgbouncer(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PgBouncer]:
    folder = tmp_path_factory.mktemp("pgbouncer") / "it"
    made = PgBouncer(folder, postgres_server.url, ROLE, connections=CONNECTIONS)
    yield made
    made.stop()


@pytest.fixture
def engine(pgbouncer: PgBouncer, database_url: str) -> Iterator[Engine]:
    """As the services have it: their own role, and nothing kept on a connection."""
    owner = make_engine(database_url)
    assert isinstance(grants.grant(owner, ROLE), grants.Granted)
    services = make_engine(pgbouncer.url(as_role(owner)), pool_size=8, through_pgbouncer=True)
    yield services
    services.dispose()
    owner.dispose()


def backends(database_url: str) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = current_database()"
    )
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query, [ROLE]).fetchone()
    assert row is not None
    return int(row[0])


def test_the_role_itself_has_the_time_zone_and_the_timeouts(engine: Engine) -> None:
    with engine.connect() as connection:
        shown = {name: connection.scalar(text(f"SHOW {name}")) for name in SESSION}
    assert shown == SESSION


def test_people_and_devices_at_once_share_few_connections(
    app: Flask,
    client: FlaskClient,
    database_url: str,
    engine: Engine,
    make_person: Callable[..., ApiUser],
    wear: Callable[..., Worn],
) -> None:
    people = [make_person() for _ in range(8)]
    worn = [wear(person) for person in people]

    def live(which: int) -> list[Any]:
        """A session of 40 frames, told live, while its person writes and reads."""
        person, session, mine = people[which], worn[which], app.test_client()
        answers = []
        for _ in range(20):
            session.samples(10).samples(10).sum_up()
            asked = mine.get(f"/v1/sessions/{session.id}", headers=person.headers)
            # Another thread may be at summing it up for the first time.
            assert asked.status_code in {200, 404}, asked.text
        pushed = {"operations": [operation("diary-entry", fields=FAINTED)]}
        answers.append(mine.post("/v1/sync", json=pushed, headers=person.headers).json)
        session.end()
        return answers

    with ThreadPoolExecutor(len(people)) as threads:
        answers = list(threads.map(live, range(len(people))))
    worn[0].sum_up()
    for person, session, (pushed,) in zip(people, worn, answers, strict=True):
        assert [one["status"] for one in pushed["answers"]] == ["applied"]
        shown = client.get(f"/v1/sessions/{session.id}", headers=person.headers).json
        assert (shown["state"], shown["completeness"]) == ("ended", 1.0), shown
        items = client.get("/v1/sync", headers=person.headers).json
        assert [one["id"] for one in items["sessions"]] == [session.id]
    assert 0 < backends(database_url) <= CONNECTIONS
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_migrations_ask_for_postgresql_itself() -> None:
    through = {
        "CYMBA_DATABASE_URL": "postgresql://owner@127.0.0.1:1/cymba",
        "CYMBA_DATABASE_THROUGH_PGBOUNCER": "true",
    }
    run = CliRunner().invoke(cli.main, ["db", "upgrade"], env=through)
    assert run.exit_code == 1
    assert "connect to PostgreSQL itself" in run.output
