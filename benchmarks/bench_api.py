"""A page of 50 sessions, beside PostgreSQL's own JSON of the same rows through the same server.

    python -m benchmarks.bench_api [--seconds 5] [--rounds 3]

One granian worker serves both; a client in a process of its own keeps 8 connections busy. The
three ways take turns, so that what else the machine does falls on all alike.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import orjson
from flask import Flask, Response
from sqlalchemy import insert, text

from cymba.accounts.tables import Account
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.tables import Device
from cymba.settings import load
from cymba.stimulation.session.queries import page_of_sessions
from cymba.stimulation.session.shown import SHOWN
from cymba.stimulation.tables import StimulationSession
from ops import logs, postgres, schema
from service import create_app
from service.http.bearer import current_account, require_token
from service.http.services import Services
from service.http.transaction import transaction
from service.resources.sessions import SessionPageSchema

SESSIONS, PAGE, CONNECTIONS = 700, 50, 8
GOAL = 0.4
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ", ".join(f"s.{column.key}" for column in SHOWN)
FLOOR = text(
    f"""
    SELECT CAST(json_agg(row_to_json(shown)) AS text) FROM (
      SELECT {COLUMNS} FROM stimulation_session AS s
      WHERE s.account_id = :account_id AND s.hidden_at IS NULL
      ORDER BY s.started_at DESC, s.id DESC LIMIT {PAGE}) AS shown
    """  # noqa: S608 - our own columns' names
)


def create() -> Flask:
    """The product's application with two more ways to answer the same page."""
    settings = load(os.environ)
    logs.configure(settings)  # a line for each request, as in the product; they go nowhere
    assert settings.database_url is not None
    app = create_app(settings, make_engine(settings.database_url))
    account_id = UUID(os.environ["BENCH_ACCOUNT"])

    @app.get("/floor")
    def floor() -> Response:
        """No token, no account, no tag: what the server and the database cost by themselves."""
        with transaction() as session:
            found = session.scalar(FLOOR, {"account_id": account_id})
        return Response(found, content_type="application/json")

    @app.get("/dumped")
    def dumped() -> Response:
        """The page as marshmallow makes it, with all else as in the product."""
        require_token()
        with transaction() as session:
            page = page_of_sessions(session, current_account(session).id, limit=PAGE)
        body = SessionPageSchema().dump({"items": page.items, "next_cursor": None})
        return Response(orjson.dumps(body), content_type="application/json")

    return app


def fill(url: str) -> tuple[UUID, str]:
    """A person with sessions; returns the account and an access token."""
    engine = make_engine(url)
    schema.upgrade(engine)
    signer = Services.make(load(os.environ), engine).signer
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="bench@example.org")
        session.add_all([account, Device(id="bench-device", serial="B", model="ear_cymba")])
        session.flush()
        token = sign_in(session, signer, account.id, utc_now()).access_token
        rows = [{**session_row(number), "account_id": account.id} for number in range(SESSIONS)]
        session.execute(insert(StimulationSession), rows)
        account_id = account.id
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    return account_id, token


def session_row(number: int) -> dict[str, Any]:
    """A session as the database holds it, but for the account that it belongs to."""
    started_at = BEGAN + timedelta(hours=7 * number, milliseconds=number)
    return {
        "id": uuid4(),
        "device_id": "bench-device",
        "sid": uuid4(),
        "state": "ended",
        "started_at": started_at,
        "ended_at": started_at + timedelta(minutes=30),
        "time_zone": "Europe/Berlin",
        "time_source": "anchored",
        "time_error_ms": 140,
        "end_reason": "completed",
        "programme": {
            "frequency_hz": 25.0,
            "pulse_width_us": 250,
            "amplitude_ua": 2000,
            "on_s": 30,
            "off_s": 30,
            "duration_s": 1800,
            "site": "cymba_conchae",
            "side": "left",
            "ramp_ua_per_s": 500,
            "native_level": None,
            "sensory_threshold_ua": 1000,
        },
        "frames_stored": 182,
        "frames_expected": 182,
        "completeness": 1.0,
        "sample_count": 1800,
        "stimulating_s": 900.5 + number,
        "contact_lost_s": 0.0,
        "delivered_charge_uc": 11250.25,
        "pulses": 22500,
        "mean_amplitude_ua": 1987.125,
        "max_amplitude_ua": 2000,
        "mean_amplitude_over_threshold": 1.9871,
        "mean_impedance_ohm": 3254.75,
        "heart_rate_before_bpm": 71.5,
        "heart_rate_during_bpm": 70.25,
        "rmssd_ms": 38.4,
        "rr_artefact_share": 0.02,
        "event_count": 2,
        "boots": [17],
        "excluded": False,
        "version": 1,
        "changed_at": started_at,
    }


@contextmanager
def serving(port: int) -> Iterator[None]:
    """The same configuration as `cymba api`, in one worker."""
    command = ["granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--blocking-threads", "20", "--log-level", "error"]
    binary = str(Path(sys.executable).parent / command[0])
    target = "benchmarks.bench_api:create"
    with subprocess.Popen([binary, *command[1:], target], stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server did not start")


def load_for(port: int, path: str, token: str, seconds: float) -> tuple[float, float, int]:
    """Requests a second, their median milliseconds, and the bytes of one answer's body."""
    counts: list[tuple[list[float], int]] = []
    ends_at = time.perf_counter() + seconds
    threads = [
        Thread(target=lambda: counts.append(_ask(port, path, token, ends_at)))
        for _ in range(CONNECTIONS)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    times = [one for each, _ in counts for one in each]
    return len(times) / took_s, statistics.median(times) * 1000, counts[0][1]


def _ask(port: int, path: str, token: str, ends_at: float) -> tuple[list[float], int]:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    times, length = [], 0
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (began := time.perf_counter()) < ends_at:
            connection.sendall(request)
            length = _read_answer(connection, buffer)
            times.append(time.perf_counter() - began)
    return times, length


def _read_answer(connection: socket.socket, buffer: bytearray) -> int:
    """Read one whole answer; returns the length of its body."""
    view, got = memoryview(buffer), 0
    while (head := buffer.find(b"\r\n\r\n", 0, got)) < 0:
        got += connection.recv_into(view[got:])
    fields = bytes(buffer[:head]).lower()
    assert fields.startswith(b"http/1.1 200"), fields
    length = int(fields.partition(b"content-length: ")[2].split(b"\r\n")[0])
    while got < head + 4 + length:
        got += connection.recv_into(view[got:])
    return length


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    ways = {
        "floor: json_agg": "/floor",
        "GET /v1/sessions": f"/v1/sessions?limit={PAGE}",
        "marshmallow's dump": "/dumped",
    }
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        secret = "a key for one run of the benchmark"
        os.environ |= {"CYMBA_DATABASE_URL": server.url, "CYMBA_SECRET_KEY": secret}
        try:
            account_id, token = fill(server.url)
            os.environ["BENCH_ACCOUNT"] = str(account_id)
            measured: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
            with serving(port), get_context("spawn").Pool(1) as client:
                for path in ways.values():
                    client.apply(load_for, (port, path, token, 1.0))
                for _ in range(given.rounds):
                    for name, path in ways.items():
                        run = client.apply(load_for, (port, path, token, given.seconds))
                        measured[name].append(run)
        finally:
            server.stop()
    _print(measured)


def _print(measured: dict[str, list[tuple[float, float, int]]]) -> None:
    middle = {
        name: [statistics.median(values) for values in zip(*runs, strict=True)]
        for name, runs in measured.items()
    }
    floor = next(iter(middle.values()))[0]
    print(f"a page of {PAGE} of {SESSIONS} sessions, {CONNECTIONS} connections, one worker")
    print(f"{'':20} {'requests/s':>11} {'median ms':>10} {'kB':>6} {'of floor':>9}")
    for name, (rate, median_ms, length) in middle.items():
        print(f"{name:20} {rate:11,.0f} {median_ms:10.2f} {length / 1e3:6.1f} {rate / floor:9.2f}")
    ratio = middle["GET /v1/sessions"][0] / floor
    print(f"goal: at least {GOAL} of the floor: {'reached' if ratio >= GOAL else 'NOT reached'}")


if __name__ == "__main__":
    main()
