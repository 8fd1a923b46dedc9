"""The embedded PostgreSQL: shared by those who name its folder, stopped by the last of them."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from ops import postgres


def holder(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "ops.postgres", str(folder)], stdin=subprocess.PIPE
    )


def test_data_stays_and_a_killed_user_keeps_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = postgres.start(folder)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    other = holder(folder)
    while str(other.pid) not in (folder / ".handle_pids.json").read_text():
        os.sched_yield()
    other.kill()
    other.wait()
    server.stop()
    assert not (folder / "postmaster.pid").exists()
    again = postgres.start(folder)
    with psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    again.stop()


def test_the_last_user_stops_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = postgres.start(folder)
    other = holder(folder)
    while str(other.pid) not in (folder / ".handle_pids.json").read_text():
        os.sched_yield()
    server.stop()
    assert (folder / "postmaster.pid").exists()
    assert other.stdin is not None
    other.stdin.close()
    assert other.wait() == 0
    assert not (folder / "postmaster.pid").exists()


def test_a_server_that_was_killed_comes_back(tmp_path: Path) -> None:
    server = postgres.start(tmp_path / "data")
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    os.kill(server.pid, 9)
    server.restart_after_crash()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    server.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    postgres.start(folder).stop()
    with (folder / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = nonsense\n")
    with pytest.raises(postgres.EmbeddedPostgresError, match="shared_buffers"):
        postgres.start(folder)
