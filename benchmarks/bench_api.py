"""A page of 50 sessions, beside PostgreSQL's own JSON of the same rows from a bare WSGI function.

    python -m benchmarks.bench_api [--seconds 3] [--rounds 3]

Each way has a granian worker of its own; a client in a process of its own keeps 8 connections
busy. The ways take turns, so that what else the machine does falls on all alike. What counts is the
processors' time of a request, of its server and of the database together: it is steady where the
rate is not.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from threading import Thread, local
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from flask import Flask
from sqlalchemy import insert, text

from cymba.accounts.tables import Account
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.tables import Device
from cymba.settings import load
from cymba.stimulation.session.shown import SHOWN
from cymba.stimulation.tables import StimulationSession
from ops import logs, postgres, schema
from ops.postgres import EmbeddedPostgres
from service import create_app
from service.http.services import Services

SESSIONS, PAGE, CONNECTIONS = 700, 50, 8
GOAL = 0.45
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ", ".join(f"s.{column.key}" for column in SHOWN)
FLOOR = f"""
    SELECT CAST(json_agg(row_to_json(shown)) AS text) FROM (
      SELECT {COLUMNS} FROM stimulation_session AS s
      WHERE s.account_id = %s AND s.hidden_at IS NULL
      ORDER BY s.started_at DESC, s.id DESC LIMIT {PAGE}) AS shown
    """  # noqa: S608 - our own columns' names
Start = Callable[[str, list[tuple[str, str]]], object]


def create() -> Flask:
    settings = load(os.environ)
    logs.configure(settings)  # a line for each request, as in the product; they go nowhere
    assert settings.database_url is not None
    return create_app(settings, make_engine(settings.database_url))


def bare() -> Callable[[dict[str, Any], Start], list[bytes]]:
    """No application at all, no token, no account, no tag: the database's answer, passed on."""
    url, account_id = os.environ["CYMBA_DATABASE_URL"], UUID(os.environ["BENCH_ACCOUNT"])
    lines = local()

    def answer(_environ: dict[str, Any], start: Start) -> list[bytes]:
        if not hasattr(lines, "one"):
            lines.one = psycopg.connect(url, autocommit=True)
        (found,) = lines.one.execute(FLOOR, (account_id,), prepare=True).fetchone()
        body: bytes = found.encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


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
def serving(target: str) -> Iterator[tuple[int, int]]:
    """The same configuration as `cymba api`, in one worker. Gives its port and its pid."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--blocking-threads", "20", "--log-level", "error"]
    binary = str(Path(sys.executable).parent / command[0])
    target = f"benchmarks.bench_api:{target}"
    with subprocess.Popen([binary, *command[1:], target], stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield port, server.pid
        finally:
            server.terminate()


def cpu_s(pid: int) -> float:
    """That a process and its children have used, those that have ended left out."""
    spent = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            spent += int((task / "schedstat").read_text().split()[0]) / 1e9
            children = (task / "children").read_text().split()
            spent += sum(cpu_s(int(child)) for child in children)
    return spent


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


class Run(NamedTuple):
    rate: float
    median_ms: float
    kb: float
    server_ms: float  # of the processors, for a request
    database_ms: float


class Served(NamedTuple):
    port: int
    pid: int
    path: str


def measured(
    client: Any, served: Served, database: EmbeddedPostgres, token: str, seconds: float
) -> Run:
    before = cpu_s(served.pid), cpu_s(database.pid)
    asked = (served.port, served.path, token, seconds)
    rate, median_ms, length = client.apply(load_for, asked)
    spent = cpu_s(served.pid) - before[0], cpu_s(database.pid) - before[1]
    server_ms, database_ms = (one / (rate * seconds) * 1000 for one in spent)
    return Run(rate, median_ms, length / 1e3, server_ms, database_ms)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1) as client:
        database = postgres.start(Path(folder) / "postgres")
        secret = "a key for one run of the benchmark"
        os.environ |= {"CYMBA_DATABASE_URL": database.url, "CYMBA_SECRET_KEY": secret}
        try:
            account_id, token = fill(database.url)
            os.environ["BENCH_ACCOUNT"] = str(account_id)
            with serving("bare") as floor, serving("create") as product:
                ways = {
                    "bare WSGI, json_agg": Served(*floor, "/"),
                    "GET /v1/sessions": Served(*product, f"/v1/sessions?limit={PAGE}"),
                    "GET /v1/account": Served(*product, "/v1/account"),
                }
                runs: dict[str, list[Run]] = {name: [] for name in ways}
                for one in ways.values():
                    measured(client, one, database, token, 1.0)
                for _ in range(given.rounds):
                    for name, one in ways.items():
                        runs[name].append(measured(client, one, database, token, given.seconds))
        finally:
            database.stop()
    _print(runs)


def _print(runs: dict[str, list[Run]]) -> None:
    middle = {
        name: Run._make(statistics.median(values) for values in zip(*of_way, strict=True))
        for name, of_way in runs.items()
    }
    floor = next(iter(middle.values()))
    floor_ms = floor.server_ms + floor.database_ms
    print(f"a page of {PAGE} of {SESSIONS} sessions, {CONNECTIONS} connections, one worker a way")
    print(f"{'':20} {'CPU ms':>7} {'server':>7} {'database':>9} {'of floor':>9}", end="")
    print(f" {'requests/s':>11} {'of floor':>9} {'median ms':>10} {'kB':>6}")
    for name, run in middle.items():
        whole_ms = run.server_ms + run.database_ms
        print(f"{name:20} {whole_ms:7.2f} {run.server_ms:7.2f} {run.database_ms:9.2f}", end="")
        print(f" {floor_ms / whole_ms:9.2f} {run.rate:11,.0f} {run.rate / floor.rate:9.2f}", end="")
        print(f" {run.median_ms:10.2f} {run.kb:6.1f}")
    page = middle["GET /v1/sessions"]
    ratio = floor_ms / (page.server_ms + page.database_ms)
    verdict = "reached" if ratio >= GOAL else "NOT reached"
    print(f"goal: the floor's CPU is at least {GOAL} of the page's: {verdict}")


if __name__ == "__main__":
    main()
