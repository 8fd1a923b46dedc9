"""How Cymba's connections are made, kept and given out."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from sqlalchemy import Engine, event, make_url, text

from cymba import database
from cymba.database import make_engine, reading
from cymba.failures import is_outage
from ops.postgres import EmbeddedPostgres


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
