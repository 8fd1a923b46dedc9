"""The primary is gone, and its replica is promoted: as the page on operating says it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from cymba.database import BoundedConnection, make_engine
from cymba.devices.provisioning import Credentials
from ops.postgres import EmbeddedPostgres
from tests.drills.world import DrilledWorld, judge, scripted
from tests.end_to_end.parts import Broker, wait_until
from tests.held_database import held_database
from tests.standby import Standby


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


@pytest.mark.slow
@pytest.mark.drill
def test_a_promoted_replica_has_every_frame_that_was_freed(
    synchronous: Standby,
    database_url: str,
    broker: Broker,
    devices: list[Credentials],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BoundedConnection, "patience_s", 1.0)
    there = synchronous.database(database_url)
    promoted: Engine = make_engine(there)
    with held_database(database_url) as held:
        world = DrilledWorld(held, broker, scripted(broker, devices), either(held.url, there))
        try:
            held.die()
            world.fleet.allow(0.7)
            told: list[str] = []

            def is_told() -> bool:
                told.extend(filter(None, [world.bridge.bridge.ill_health()]))
                return bool(told)

            wait_until(is_told, what="it is told")
            assert synchronous.say("SELECT pg_promote()") == [(True,)]
            judge(world, promoted, "promoted replica", told[0])
        finally:
            world.stop()
            promoted.dispose()


def either(*urls: str) -> str:
    """A URL that leads to the server among these that takes writes."""
    first = make_url(urls[0])
    hosts = []
    for url in map(make_url, urls):
        host = url.query.get("host", url.host)
        hosts.append(f"{host}:{url.port or 5432}")
    query = {"host": tuple(hosts), "target_session_attrs": "read-write"}
    return first.set(host=None, port=None, query=query).render_as_string(hide_password=False)
