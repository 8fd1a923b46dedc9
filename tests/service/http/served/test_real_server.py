"""The server that the product runs on: what only it can show."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import text

from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.service.http.served.parts import ApiProcess

pytestmark = pytest.mark.slow


def live_streams(api: ApiProcess) -> float:
    told = httpx.get(f"{api.url}/metrics", timeout=PATIENCE_S).text
    (line,) = (line for line in told.splitlines() if line.startswith("cymba_api_live_streams "))
    return float(line.split()[1])


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


def test_an_open_live_view_does_not_hold_up_the_stop(api, wear, person):
    worn = wear(person).samples().sum_up()
    path = f"{api.url}/v1/sessions/{worn.id}/live"
    with httpx.stream("GET", path, headers=person.headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: start"
        assert api.stop() == 0
        assert "event: end" not in list(lines)  # cut off, and not told as an end
    assert "Killing" not in api.log.read_text()


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
