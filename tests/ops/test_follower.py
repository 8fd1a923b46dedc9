"""The broker's files follow the database, through whatever happens to the connection."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from cymba import database
from cymba.database import BoundedConnection, UnitOfWork, make_engine
from cymba.devices import provisioning
from cymba.failures import is_outage
from cymba.settings import FIRST_CELL
from ops import mosquitto_files
from ops.mosquitto_files import Follower
from tests.held_database import HeldDatabase, held_database
from tests.test_database import terminate


@pytest.fixture
def held(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldDatabase]:
    monkeypatch.setattr(BoundedConnection, "patience_s", 0.3)
    monkeypatch.setattr(database, "PING_S", 0.3)
    monkeypatch.setattr(mosquitto_files, "LISTEN_S", 0.1)
    monkeypatch.setattr(mosquitto_files, "REREAD_S", 3600.0)
    with held_database(database_url) as held:
        yield held


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


@pytest.fixture
def follower(held: HeldDatabase, file: Path) -> Iterator[Follower]:
    engine = make_engine(held.url)
    following = Follower(engine, {file: mosquitto_files.passwords}, FIRST_CELL)
    yield following
    following.close()
    engine.dispose()


@pytest.fixture
def device(engine: Engine) -> str:
    with UnitOfWork(engine) as session, session.begin():
        (made,) = provisioning.provision(session, "ear_cymba", 1)
    return made.device_id


@pytest.fixture
def revoke(engine: Engine, device: str) -> Callable[[], None]:
    def revoke_() -> None:
        with UnitOfWork(engine) as session, session.begin():
            provisioning.revoke(session, device)

    return revoke_


def test_a_change_is_written_in_the_next_round(
    follower: Follower, file: Path, device: str, revoke: Callable[[], None]
) -> None:
    follower.run_once()
    assert file.read_text().startswith(f"{device}:")
    revoke()
    follower.run_once()  # it hears
    follower.run_once()
    assert file.read_text() == ""


def test_a_revocation_reaches_the_broker_though_the_connection_hangs(
    held: HeldDatabase, follower: Follower, file: Path, device: str, revoke: Callable[[], None]
) -> None:
    """Nothing is heard of it, and that looks like no news."""
    follower.run_once()
    held.swallow()
    revoke()
    with pytest.raises(psycopg.OperationalError) as lost:
        follower.run_once()
    assert is_outage(lost.value)
    assert device in file.read_text()
    follower.run_once()
    assert file.read_text() == ""


def test_one_that_has_lost_its_database_comes_back(
    engine: Engine, follower: Follower, file: Path, revoke: Callable[[], None]
) -> None:
    follower.run_once()
    assert follower._connection is not None
    terminate(engine, follower._connection.connection.driver_connection.info.backend_pid)
    revoke()
    with pytest.raises(psycopg.OperationalError) as lost:
        follower.run_once()
    assert is_outage(lost.value)
    follower.run_once()
    assert file.read_text() == ""


def test_what_was_changed_while_the_files_are_read_is_not_missed(
    follower: Follower,
    file: Path,
    device: str,
    revoke: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = mosquitto_files.write
    with monkeypatch.context() as patched:
        patched.setattr(mosquitto_files, "write", lambda *given: (write(*given), revoke()))
        follower.run_once()
    assert device in file.read_text()
    follower.run_once()
    assert file.read_text() == ""
