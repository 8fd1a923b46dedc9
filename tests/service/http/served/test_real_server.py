"""The server that the product runs on: what only it can show."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.service.http.served.parts import ApiProcess

pytestmark = pytest.mark.slow
ASKING = b"GET /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def live_streams(api: ApiProcess) -> float:
    return metric(api.url, "cymba_api_live_streams ")


def metric(url: str, start: str) -> float:
    told = httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text
    return sum(float(one.rpartition(" ")[2]) for one in told.splitlines() if one.startswith(start))


def workers_of(api: ApiProcess) -> list[int]:
    pid = api.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connection(api: ApiProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_S)


@contextmanager
def standing_still(api: ApiProcess) -> Iterator[int]:
    """Its only worker, as where the processors are busy with something else."""
    (worker,) = workers_of(api)
    os.kill(worker, signal.SIGSTOP)
    threads = [*Path(f"/proc/{worker}/task").glob("*/status")]
    wait_until(
        lambda: all("\tT (stopped)" in one.read_text() for one in threads), what="it stands still"
    )
    yield worker
    os.kill(worker, signal.SIGCONT)


def is_asked_to_end(pid: int) -> bool:
    pending = re.search(r"ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(pending[1], 16) & 1 << signal.SIGTERM - 1)


def takes_none(api: ApiProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", api.port), timeout=0.05).close()
    except OSError:  # no answer, or refused
        return True
    return False


def test_several_processes_are_counted_as_one_also_when_one_is_killed(environ, tmp_path):
    api = ApiProcess(tmp_path / "api.log", environ, workers=2)
    asked = 'cymba_api_requests_total{method="GET",route="/v1/version"'
    own, most = f"http://127.0.0.1:{api.health_port}", "cymba_database_connections_most "

    try:
        api.start()
        wait_until(lambda: metric(own, most) == 2 * 2 * 10, what="two pools of ten and ten more")
        for _ in range(20):  # each over a connection of its own, so to either process
            assert httpx.get(f"{api.url}/v1/version", timeout=PATIENCE_S).status_code == 200
        for url in 4 * (own, api.url):
            assert metric(url, asked) == 20
        first, second = workers_of(api)
        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda: len({*workers_of(api)} - {first, second}) == 1 and metric(own, most) == 40,
            what="it has a successor",
        )
        assert metric(own, asked) == 20
    finally:
        api.stop()


def test_a_view_that_the_client_left_gives_its_place_back(api, wear, person):
    wait_until(lambda: live_streams(api) == 0, what="the views of other tests have ended")
    worn = wear(person).samples().sum_up()
    path = f"{api.url}/v1/sessions/{worn.id}/live"
    with httpx.stream("GET", path, headers=person.headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()  # held: httpx leaves when nobody holds it any more
        assert next(lines)
        assert live_streams(api) == 1
    wait_until(lambda: live_streams(api) == 0, what="its place is free again")


def test_a_body_without_a_length_is_bounded_too(api):
    def endless():
        for _ in range(100):
            yield b"[" * 4096

    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{api.url}/v1/accounts", content=endless(), headers=headers)
    assert response.status_code == 413, response.text
    assert response.json()["type"] == "urn:cymba:problem:too-large"
    assert httpx.get(f"{api.url}/healthz").status_code == 200


def test_a_stop_loses_no_connection_and_is_not_held_up_by_a_live_view(api, wear, person):
    worn = wear(person).samples().sum_up()
    path = f"{api.url}/v1/sessions/{worn.id}/live"
    with httpx.stream("GET", path, headers=person.headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: start"
        with ExitStack() as held:
            silent = [held.enter_context(connection(api)) for _ in range(3)]
            with standing_still(api) as worker:
                waiting = [held.enter_context(connection(api)) for _ in range(20)]
                for one in waiting:
                    one.sendall(ASKING)
                silent += [held.enter_context(connection(api)) for _ in range(3)]
                api.process.terminate()
                wait_until(lambda: is_asked_to_end(worker), what="the worker is asked to stop")
            wait_until(lambda: takes_none(api), what="the port takes no more")
            for one in silent:  # a proxy is about to send its request
                one.sendall(ASKING)
            answers = [one.recv(20)[:12] for one in waiting + silent]
            assert answers == 26 * [b"HTTP/1.1 200"]
        assert api.stop() == 0
        assert "event: end" not in list(lines)  # cut off, and not told as an end
    # The server says "Killing" also of a worker that is just about to be gone.
    assert "the worker has answered all and ends" in api.logged()


def test_a_server_whose_threads_all_wait_is_alive(environ, tmp_path, engine, make_person):
    limits = {"CYMBA_DATABASE_POOL_SIZE": "1", "CYMBA_LIVE_STREAMS": "1"}
    api = ApiProcess(tmp_path / "api.log", environ | limits)
    people = [make_person() for _ in range(8)]  # there are three threads, and two connections

    def ask(person) -> int:
        return httpx.get(
            f"{api.url}/v1/account", headers=person.headers, timeout=PATIENCE_S
        ).status_code

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    api.start()
    try:
        with ThreadPoolExecutor(len(people)) as pool, engine.connect() as own:
            with engine.begin() as other:
                other.execute(text("LOCK TABLE account IN ACCESS EXCLUSIVE MODE"))
                asking = [pool.submit(ask, person) for person in people]
                wait_until(lambda: own.execute(waiting).scalar_one() >= 2, what="all wait")
                own.rollback()
                health_url = f"http://127.0.0.1:{api.health_port}"
                health = httpx.get(f"{health_url}/healthz", timeout=PATIENCE_S)
                assert health.status_code == 200
                assert not any(one.done() for one in asking)
                metrics = httpx.get(f"{health_url}/metrics", timeout=PATIENCE_S)
                assert "cymba_api_requests_total" in metrics.text
            # The lock was not given in time.
            assert {one.result() for one in asking} <= {200, 503}
    finally:
        api.stop()
