"""A real PostgreSQL for each worker, and an empty database for each test."""

import gc
import math
import os
import resource
import shutil
import signal
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from cymba.accounts import passwords
from cymba.database import UnitOfWork, make_engine
from cymba.devices import issuing
from cymba.stop_signals import STOP_SIGNALS
from ops import postgres, schema
from ops.distribution import distribute
from ops.postgres import EmbeddedPostgres
from tests import programs, run_folder
from tests.drills import table
from tests.kept_database import TEMPLATE, KeptDatabases, at_database
from tests.partitioned import NOT_IN_PARTS, Partitions

# What is imported and collected stays. To look through it for garbage takes as long as to collect.
gc.disable()
# A busy machine is no reason to fail. The rest is as Hypothesis has it, in CI and elsewhere.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")
OWN_FOLDER = pytest.StashKey[Path]()
FEED = "INSERT INTO change ("
followers: list[str] = []
"""Statements that followed the change feed in their transaction: a defect of whoever sent them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--partitioned",
        action="store_true",
        help="on tables in hash partitions, by the keys that they would lie by on several nodes",
    )


def pytest_configure(config: pytest.Config) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # a thousand devices are in one process
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if config.option.basetemp is None:
        folder = config.stash[OWN_FOLDER] = run_folder.make()
        config.option.basetemp = folder / "t"  # pytest makes this one anew


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: many tests wait for a device's pace or a process."""
    return math.ceil(1.5 * (os.cpu_count() or 1))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a fixture go to one worker. Else each worker would make its own."""
    if config.option.partitioned:
        left_out = [item for item in items if item.name in NOT_IN_PARTS]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        shared = [one[-1].baseid for one in fixtures if one[-1].scope in {"module", "package"}]
        if shared:
            item.add_marker(pytest.mark.xdist_group(min(shared)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = session.config.stash.get(OWN_FOLDER, None)
    if folder is not None and exitstatus != pytest.ExitCode.TESTS_FAILED:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    folder = config.stash.get(OWN_FOLDER, None)
    if folder is not None and folder.exists():
        terminalreporter.write_line(f"what the tests left is in {folder}")
    if table.ROWS:
        terminalreporter.section("drills")
        for line in table.lines():
            terminalreporter.write_line(line)
    if programs.MISSING:
        terminalreporter.section("NOT ALL IS TESTED", sep="!", red=True, bold=True)
        for name in programs.MISSING:
            terminalreporter.write_line(
                f"{name} is not here: what needs it was skipped, or tried with less"
            )


@event.listens_for(Engine, "before_cursor_execute")
def _watch_the_feed(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    if FEED in statement:
        connection.info["fed"] = True
    elif "fed" in connection.info:
        followers.append(statement)


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
def _end_the_watch(connection: Connection) -> None:
    if not (connection.closed or connection.invalidated):
        connection.info.pop("fed", None)


@pytest.fixture
def stop_handlers() -> Iterator[None]:
    """What a test does with the signals that stop a process is its own."""
    before = [(number, signal.getsignal(number)) for number in STOP_SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def nothing_follows_the_feed() -> Iterator[None]:
    """In no route, worker or command that any test tries."""
    followers.clear()
    yield
    assert followers == []


@pytest.fixture(scope="session", autouse=True)
def shipped_hasher() -> Iterator[PasswordHasher]:
    """A password's hash is slow on purpose; in tests it is quick. Gives the one that is slow."""
    with pytest.MonkeyPatch.context() as patched:
        shipped = passwords._hasher
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patched.setattr(passwords, "_hasher", quick)
        yield shipped


@pytest.fixture
def versions_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programme versions are numbered 1, 2, 3, for tests that are not about their numbers."""
    monkeypatch.setattr(issuing, "NUMBERED_SINCE", datetime.max.replace(tzinfo=UTC))


@pytest.fixture(scope="session")
def postgres_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[EmbeddedPostgres]:
    """One server for this worker, without durability: nobody pulls its plug."""
    folder: Path = tmp_path_factory.mktemp("postgres") / "data"
    server = postgres.start(folder)
    admin = make_engine(server.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        # What is deleted after each test is vacuumed there, and statistics come from no other test.
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    template = make_engine(at_database(server.url, TEMPLATE))
    schema.upgrade(template)
    # Else the models have changed: `make migration NAME=add_thing` drafts the step that is missing.
    assert schema.check(template).differences == ()
    if pytestconfig.option.partitioned:
        distribute(template, Partitions())
    template.dispose()
    admin.dispose()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kept_databases(postgres_server: EmbeddedPostgres) -> Iterator[KeptDatabases]:
    databases = KeptDatabases(postgres_server.url)
    yield databases
    databases.drop()


@pytest.fixture
def database_url(kept_databases: KeptDatabases) -> Iterator[str]:
    """A database with the whole schema and no rows."""
    with kept_databases.lend() as url:
        yield url


@pytest.fixture(scope="session")
def compiled() -> dict[str, Engine]:
    """An engine by its URL. It knows how statements are written in SQL, and to find that out anew
    takes a third of the time of many tests."""
    return {}


@pytest.fixture
def engine(database_url: str, compiled: dict[str, Engine]) -> Iterator[Engine]:
    """With connections and listeners of its own."""
    if database_url not in compiled:
        compiled.clear()
        compiled[database_url] = make_engine(database_url)
    kept = compiled[database_url]
    engine = Engine(kept.pool.recreate(), kept.dialect, kept.url, hide_parameters=True)
    engine._compiled_cache = kept._compiled_cache
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with UnitOfWork(engine) as session:
        yield session
