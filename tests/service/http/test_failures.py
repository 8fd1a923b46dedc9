"""When something breaks on our side: the answer, the log, and the state that is left."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import create_engine, event, func, select
from structlog.testing import capture_logs

from cymba import database
from cymba.accounts import profile
from cymba.accounts.tables import Account
from cymba.database import BoundedConnection, UnitOfWork, make_engine
from service import create_app
from service.http import services
from service.http.latest import Latest
from service.resources import health
from tests.end_to_end.parts import wait_until
from tests.held_database import held_database
from tests.service.conftest import sign_up
from tests.test_failures import failed

REGISTRATION = {"email": "ada@example.org", "password": "correct horse battery"}


def test_a_defect_is_a_problem_that_tells_nothing(client, person, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("ada@example.org has a secret")

    monkeypatch.setattr("service.resources.accounts.current_account", broken)
    with capture_logs() as logs:
        response = client.get("/v1/account", headers=person.headers)
    assert response.status_code == 500
    assert response.json["type"] == "urn:cymba:problem:server"
    assert "secret" not in response.text
    assert "secret" not in str(logs)
    failed = next(line for line in logs if line["event"] == "request failed")
    assert failed["error"] == "RuntimeError"
    assert "service.resources.accounts" in failed["at"]


def test_what_fails_half_way_leaves_nothing(client, engine, monkeypatch):
    def broken(_):
        raise RuntimeError

    monkeypatch.setattr("service.resources.accounts._shown", broken)
    assert sign_up(client, REGISTRATION).status_code == 500
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count(Account.id))) == 0


def test_without_a_database_it_says_so(settings, person):
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    client = create_app(settings, nobody).test_client()
    response = client.get("/v1/account", headers=person.headers)
    assert response.status_code == 503
    assert response.json["type"] == "urn:cymba:problem:unavailable"
    assert response.headers["Retry-After"]
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert not ready.json["checks"]["database"]["ok"]


def test_a_lock_that_is_held_too_long_is_no_defect(client, person, engine):
    with UnitOfWork(engine) as holder, holder.begin():
        profile.lock(holder, person.id)
        guarded = {**person.headers, "If-Match": "*"}
        options = "-c lock_timeout=50ms -c timezone=UTC"
        quick = create_engine(engine.url, connect_args={"options": options})
        impatient = create_app(client.application.extensions["cymba"].settings, quick).test_client()
        response = impatient.patch("/v1/account", json={"name": "Ada"}, headers=guarded)
        quick.dispose()
    assert response.status_code == 503


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        ("53100", 503),
        ("53300", 503),
        ("25006", 503),
        ("40P01", 503),
        ("57014", 503),
        ("57P01", 503),
        ("57P02", 503),
        ("57P03", 503),
        ("08006", 503),
        ("22003", 500),
    ],
)
def test_only_what_may_work_later_is_called_unavailable(
    client, person, monkeypatch, sqlstate, status
):
    def broken(*_, **__):
        raise failed(sqlstate)

    monkeypatch.setattr("service.resources.accounts.current_account", broken)
    with capture_logs() as logs:
        response = client.get("/v1/account", headers=person.headers)
    assert response.status_code == status
    assert any(sqlstate in line.get("error", "") for line in logs)
    assert "ada@example.org" not in str(logs)


def test_nothing_personal_reaches_the_log(client, person):
    with capture_logs() as logs:
        sign_up(client, REGISTRATION)
        client.post("/v1/auth/token", json=REGISTRATION)
        client.get("/v1/account?note=private", headers=person.headers)
        client.get("/v1/devices/private-device", headers=person.headers)
    assert len(logs) >= 4
    text = str(logs)
    for private in ("ada@example.org", "battery", "private", person.headers["Authorization"][7:]):
        assert private not in text
    assert {line["route"] for line in logs if line["event"] == "request"} >= {
        "/v1/accounts",
        "/v1/devices/<device_id:device_id>",
    }


def test_ready_when_all_is_there(ready_app):
    response = ready_app.test_client().get("/readyz")
    assert response.status_code == 200
    assert {name: check["ok"] for name, check in response.json["checks"].items()} == {
        "database": True,
        "schema": True,
        "broker": True,
    }


def test_ready_while_an_upgrade_has_migrated_and_not_yet_replaced_it(ready_app, engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    response = ready_app.test_client().get("/readyz")
    assert response.status_code == 200
    assert "9999, ahead" in response.json["checks"]["schema"]["detail"]


@pytest.mark.parametrize("missing", ["schema", "broker"])
def test_not_ready_without_a_part(ready_app, settings, engine, missing):
    app = ready_app
    if missing == "schema":
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    else:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        url = f"mqtt://127.0.0.1:{port}"
        app = create_app(msgspec.structs.replace(settings, broker_url=url), engine)
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert [n for n, check in response.json["checks"].items() if not check["ok"]] == [missing]
    assert missing in response.json["detail"]


def checked_out(engine) -> list[object]:
    """Fills as connections are taken from the pool."""
    taken: list[object] = []
    event.listen(engine, "checkout", lambda line, *_: taken.append(line))
    return taken


def test_however_many_ask_whether_it_is_ready_the_database_is_looked_at_once(ready_app, engine):
    taken = checked_out(engine)
    clock = iter(range(1000))
    fresh = Latest(100, clock=lambda: next(clock))
    edge = replace(ready_app.extensions["cymba"], readiness=fresh)
    ready_app.extensions["cymba"] = edge
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ready_app.test_client().get, "/readyz") for _ in range(40)]
    assert {one.result().status_code for one in asked} == {200}
    assert len(taken) == 2  # for the database, and for its schema
    for _ in range(100):
        next(clock)
    assert ready_app.test_client().get("/readyz").status_code == 200
    assert len(taken) == 4


@pytest.fixture
def in_haste(monkeypatch):
    """A request waits a moment, where it would wait half a minute, and readiness is not kept."""
    monkeypatch.setattr(BoundedConnection, "patience_s", 0.5)
    monkeypatch.setattr(database, "PING_S", 0.5)
    monkeypatch.setattr(health, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(services, "READY_FOR_S", 0.0)


def detail_of(client, name):
    response = client.get("/readyz")
    check = response.json["checks"][name]
    return response.status_code, check["detail"]


@pytest.mark.usefixtures("in_haste")
def test_in_a_hole_it_is_not_ready_and_after_it_at_once_again(
    settings, database_url, broker_port, monkeypatch
):
    """Requests and readiness rest on the same connections: what the one finds, the other says."""
    monkeypatch.setattr(database, "SURELY_THERE_S", 0.0)
    given = msgspec.structs.replace(settings, broker_url=f"mqtt://127.0.0.1:{broker_port}")
    with held_database(database_url) as held:
        engine = make_engine(held.url)
        client = create_app(given, engine).test_client()
        assert client.get("/readyz").status_code == 200
        held.answers.clear()
        assert detail_of(client, "database") == (503, "no answer within 2 s")
        for _ in range(5):
            assert client.get("/readyz").status_code == 503
        asking = [one.name for one in threading.enumerate() if one.name.startswith("asks: ")]
        assert len(asking) == len(set(asking))  # nobody waits for the same thing twice
        held.swallow()
        held.answers.set()
        wait_until(lambda: client.get("/readyz").status_code == 200, what="ready")
        engine.dispose()


@pytest.mark.usefixtures("in_haste")
def test_it_is_not_ready_while_no_request_gets_a_connection(ready_app, engine):
    client = ready_app.test_client()
    most = engine.pool.size() + engine.pool._max_overflow
    with ExitStack() as taken:
        for _ in range(most):
            taken.enter_context(engine.connect())
        assert detail_of(client, "schema") == (503, "no answer within 2 s")
    wait_until(lambda: client.get("/readyz").status_code == 200, what="ready")


@pytest.mark.usefixtures("in_haste")
def test_a_database_that_takes_no_writes(ready_app, person, engine, client):
    """As a standby, or a server whose disk is full: reads work, and what writes is told to wait."""
    guarded = {**person.headers, "If-Match": "*"}
    admin = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    name = engine.url.database
    with admin.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only=on')
    engine.dispose()
    try:
        read = client.get("/v1/account", headers=person.headers)
        refused = client.patch("/v1/account", json={"name": "Ada"}, headers=guarded)
        ready = detail_of(ready_app.test_client(), "database")
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" RESET ALL')
        admin.dispose()
    assert (refused.status_code, read.status_code) == (503, 200)
    assert refused.headers["Retry-After"]
    assert ready == (503, "takes no writes: a standby, or set to read-only")
    # Whatever meets a connection from before is refused, and has all opened anew: nothing has to be
    # started again.
    wait_until(
        lambda: (
            client.patch("/v1/account", json={"name": "Ada"}, headers=guarded).status_code == 200
        ),
        what="it is written",
    )
    assert ready_app.test_client().get("/readyz").status_code == 200


def test_the_metrics_count_by_route_and_status(client, person):
    client.get("/v1/account", headers=person.headers)
    client.get("/v1/account")
    client.get("/v1/devices/not-a-device", headers=person.headers)
    client.get("/made/up/by/a/scanner")
    text = client.get("/metrics").text
    series = 'cymba_api_requests_total{method="GET",route="%s",status="%s"} 1.0'
    assert series % ("/v1/account", 200) in text
    assert series % ("/v1/account", 401) in text
    assert series % ("/v1/devices/<device_id:device_id>", 404) in text
    assert series % ("unmatched", 404) in text
    assert "scanner" not in text
    assert "not-a-device" not in text
