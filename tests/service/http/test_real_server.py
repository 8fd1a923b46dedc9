"""The server that the product runs on: what only it can show."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from ops import ports
from tests.end_to_end.parts import PATIENCE_S, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def health_port() -> int:
    return ports.free_port()


@pytest.fixture
def server(request, settings, database_url, tmp_path, health_port):
    """`cymba api` as a process; gives it, its address, and the file of its log."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = os.environ | {
        "CYMBA_DATABASE_URL": database_url,
        "CYMBA_SECRET_KEY": settings.secret_key,
        "CYMBA_DATA_DIR": str(tmp_path),
        "CYMBA_METRICS_PORT": str(health_port),
        **getattr(request, "param", {}),
    }
    command = [str(Path(sys.executable).parent / "cymba"), "api", "--port", str(port)]
    log = tmp_path / "api.log"
    with log.open("w") as output, subprocess.Popen(command, env=environ, stderr=output) as process:
        url = f"http://127.0.0.1:{port}"
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield process, url, log
        process.kill()


def _answers(url):
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_an_open_live_view_does_not_hold_up_the_stop(server, wear, person):
    process, url, log = server
    worn = wear(person).samples().sum_up()
    path = f"{url}/v1/sessions/{worn.id}/live"
    with httpx.stream("GET", path, headers=person.headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: start"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert "event: end" not in list(lines)  # cut off, and not told as an end
    assert "Killing" not in log.read_text()


def test_a_view_that_the_client_left_gives_its_place_back(server, wear, person):
    _, url, _ = server
    worn = wear(person).samples().sum_up()
    path = f"{url}/v1/sessions/{worn.id}/live"
    with httpx.stream("GET", path, headers=person.headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()  # held: httpx leaves when nobody holds it any more
        assert next(lines)
        assert "cymba_api_live_streams 1.0" in httpx.get(f"{url}/metrics").text
    while "cymba_api_live_streams 0.0" not in httpx.get(f"{url}/metrics").text:
        time.sleep(0.1)


def test_a_body_without_a_length_is_bounded_too(server):
    _, url, _ = server

    def endless():
        for _ in range(100):
            yield b"[" * 4096

    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{url}/v1/accounts", content=endless(), headers=headers)
    assert response.status_code == 413, response.text
    assert response.json()["type"] == "urn:cymba:problem:too-large"
    assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.parametrize(
    "server", [{"CYMBA_DATABASE_POOL_SIZE": "1", "CYMBA_LIVE_STREAMS": "1"}], indirect=True
)
def test_a_server_whose_threads_all_wait_is_alive(server, health_port, engine, make_person):
    _, url, _ = server
    people = [make_person() for _ in range(8)]  # there are three threads, and two connections

    def ask(person) -> int:
        return httpx.get(
            f"{url}/v1/account", headers=person.headers, timeout=PATIENCE_S
        ).status_code

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(len(people)) as pool, engine.connect() as own:
        with engine.begin() as other:
            other.execute(text("LOCK TABLE account IN ACCESS EXCLUSIVE MODE"))
            asking = [pool.submit(ask, person) for person in people]
            wait_until(lambda: own.execute(waiting).scalar_one() >= 2, what="all wait")
            own.rollback()
            health = httpx.get(f"http://127.0.0.1:{health_port}/healthz", timeout=PATIENCE_S)
            assert health.status_code == 200
            assert not any(one.done() for one in asking)
            metrics = httpx.get(f"http://127.0.0.1:{health_port}/metrics", timeout=PATIENCE_S)
            assert "cymba_api_requests_total" in metrics.text
        assert {one.result() for one in asking} <= {200, 503}  # the lock was not given in time
