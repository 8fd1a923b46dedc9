"""How Cymba's connections are made, kept and given out."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cymba import database
from cymba.database import BoundedConnection, make_engine, reading
from cymba.failures import is_outage, name_of
from ops import schema
from ops.postgres import EmbeddedPostgres
from tests.held_database import HeldDatabase, held_database


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with closing(other), suppress(OSError):  # the fixture closes both
        while piece := one.recv(65_536):
            other.sendall(piece)


@pytest.fixture
def over_tcp(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a TCP port before the server, which itself listens in a folder only."""
    folder = make_url(postgres_server.url).query["host"]
    listener = socket.create_server(("127.0.0.1", 0))
    ends = [listener]

    def serve() -> None:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(Path(str(folder)) / ".s.PGSQL.5432"))
        ends.extend([near, far])
        Thread(target=_pass_on, args=(near, far), daemon=True).start()
        _pass_on(far, near)

    Thread(target=serve, daemon=True).start()
    yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"
    for end in ends:
        end.close()


def test_a_peer_that_has_vanished_is_noticed_soon(over_tcp: str) -> None:
    """The settings have reached the socket: TCP's own, of two hours, would not notice."""
    engine = make_engine(over_tcp)
    with engine.connect() as connection:
        line = connection.connection.driver_connection
        assert isinstance(line, psycopg.Connection)
        with socket.socket(fileno=socket.dup(line.pgconn.socket)) as end:
            read = {name: end.getsockopt(socket.IPPROTO_TCP, at) for name, at in OPTIONS.items()}
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    engine.dispose()
    assert read == {name: database.KEEPALIVES[name] for name in OPTIONS}
    assert read["keepalives_idle"] + 4 * read["keepalives_interval"] <= 30
    assert read["tcp_user_timeout"] <= 30_000


OPTIONS = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
    "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
}


@pytest.fixture
def held(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldDatabase]:
    """Whoever asks it waits a moment, where a process would wait half a minute."""
    monkeypatch.setattr(BoundedConnection, "patience_s", 0.3)
    monkeypatch.setattr(database, "PING_S", 0.3)
    monkeypatch.setattr(database, "SURELY_THERE_S", 0.0)
    with held_database(database_url) as held:
        yield held


def test_a_connection_in_a_hole_is_given_up(held: HeldDatabase) -> None:
    """TCP does not know: what stands between answers its keepalives."""
    engine = make_engine(held.url)
    with engine.connect() as connection:
        with engine.connect() as other:
            other.execute(text("SELECT 1"))
        connection.execute(text("SELECT 1"))
        held.swallow()
        with pytest.raises(OperationalError, match="did not answer") as lost:
            connection.execute(text("SELECT 1"))
    assert is_outage(lost.value)
    with engine.connect() as new, engine.connect() as another:
        assert [new.scalar(text("SELECT 1")), another.scalar(text("SELECT 1"))] == [1, 1]
    engine.dispose()


@pytest.mark.parametrize("pooled", [1, 4])
def test_of_a_pool_in_a_hole_no_connection_is_given_out(held: HeldDatabase, pooled: int) -> None:
    engine = make_engine(held.url)
    with ExitStack() as open_:
        for _ in range(pooled):
            open_.enter_context(engine.connect()).execute(text("SELECT 1"))
    held.swallow()
    asked: list[object] = []
    event.listen(engine, "checkout", lambda line, *_: asked.append(line), insert=True)
    for _ in range(pooled):
        with reading(engine) as line:
            assert line.execute("SELECT 1").fetchone() == (1,)
    assert len(asked) <= pooled + 1  # one is asked in vain, and then all are opened anew
    engine.dispose()


def test_a_migration_may_take_its_time(held: HeldDatabase) -> None:
    """An index on a large table takes an hour, in which the server says nothing."""
    engine = make_engine(held.url)
    with schema.migrating(engine, 0) as connection:
        assert connection is not None
        assert connection.scalar(text("SELECT 1 FROM pg_sleep(0.7)")) == 1
    engine.dispose()


def test_after_a_failover_the_connections_to_the_standby_are_left(
    engine: Engine,
) -> None:
    """The server that they lead to lives on, and takes no writes any more."""
    with engine.connect() as one, engine.connect() as two:
        old = {each.scalar(text("SELECT pg_backend_pid()")) for each in (one, two)}
        for each in (one, two):
            each.execute(text("SET default_transaction_read_only = on"))
            each.commit()
    with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
        connection.execute(text("INSERT INTO account (email) VALUES ('x')"))
    assert name_of(refused.value) == "ReadOnlySqlTransaction 25006"
    with engine.connect() as one, engine.connect() as two:
        assert not old & {each.scalar(text("SELECT pg_backend_pid()")) for each in (one, two)}


def terminate(engine: Engine, *pids: object) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(url, autocommit=True)) as other:
        for pid in pids:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_that_died_while_it_lay_idle_is_not_given_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SURELY_THERE_S", 0.0)
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    terminate(engine, pid)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != pid


def test_a_connection_that_was_just_used_is_not_asked_again(engine: Engine) -> None:
    asked: list[str] = []
    with engine.connect() as connection:
        line = connection.connection.driver_connection
        assert isinstance(line, psycopg.Connection)
        execute = line.execute
        line.execute = lambda query, *a, **k: asked.append(query) or execute(query, *a, **k)  # type: ignore[method-assign]
    with engine.connect() as again:
        assert again.connection.driver_connection is line
    assert asked == []


def test_reads_commit_themselves_and_leave_the_connection_as_it_was(engine: Engine) -> None:
    with reading(engine) as connection:
        connection.execute("SELECT 1")
        assert connection.info.transaction_status.name == "IDLE"
    with engine.connect() as kept:
        assert kept.connection.driver_connection is connection
        assert not connection.autocommit
        kept.execute(text("SELECT 1"))
        assert connection.info.transaction_status.name == "INTRANS"


def test_after_a_read_on_a_dead_connection_the_others_are_opened_anew(engine: Engine) -> None:
    opened: list[object] = []
    with engine.connect() as one, engine.connect() as two:
        pids = [each.scalar(text("SELECT pg_backend_pid()")) for each in (one, two)]
    event.listen(engine, "connect", lambda line, _: opened.append(line))
    with reading(engine) as connection:
        terminate(engine, *pids)
        with pytest.raises(psycopg.OperationalError) as lost:
            connection.execute("SELECT 1")
    assert is_outage(lost.value)
    with reading(engine) as connection, engine.connect() as two:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert two.scalar(text("SELECT 1")) == 1
    assert len(opened) == 2
