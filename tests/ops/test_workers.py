"""A worker's command shows what it does, and whether it is well."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ops.exits import Exit
from tests.end_to_end.parts import wait_until
from tests.free_ports import free_port
from tests.held_database import held_database
from tests.ops.conftest import Run

WORKERS = ("seal", "insights", "mail", "watch")


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_shows_its_rounds_and_what_is_in_its_way(
    name: str, database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CYMBA_")}

    def has_worked() -> bool:
        shown = get(port, "/metrics")[1]
        return "rounds_total" in shown and "cymba_worker_rounds_total 0.0" not in shown

    with held_database(database_url) as database:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", name, "--every", "0.1",
             "--metrics-port", str(port)],
            env=clean | {"CYMBA_DATABASE_URL": database.url, "CYMBA_DATA_DIR": str(tmp_path)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            wait_until(has_worked, what="a round")
            assert get(port, "/healthz") == (200, "ok\n")
            assert "cymba_worker_last_round_age_seconds" in get(port, "/metrics")[1]
            database.die()
            wait_until(lambda: get(port, "/healthz")[0] == 503, what="it is ill")
            assert "OperationalError" in get(port, "/healthz")[1]
        finally:
            process.terminate()
            assert process.wait(30) == Exit.DONE


def test_a_port_that_is_taken_is_told_before_anything_is_done(
    cymba: Run, settings: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = cymba("mail", "--once", "--metrics-port", str(port), settings=settings)
    assert run.returncode == Exit.FAILED
    assert f"cannot serve metrics on 127.0.0.1:{port}" in run.stderr
