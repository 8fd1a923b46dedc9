"""The processor's time of the reads that a screen waits for, by request.

    python -m benchmarks.bench_reads [--rounds 5] [--times 20]

One person has two years of sessions and entries, and two sessions of an hour, one in the frame
table and one in a recording. The requests go through Flask's test client, in one process; they take
turns. Beside it stands the time of the database's processes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, select

from benchmarks import bench_storage, bench_sync
from benchmarks.bench_api import cpu_s
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.tables import Device, DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.tables import StimulationSession
from ops import logs, postgres, schema
from service import create_app
from tests.stimulation.worker_steps import summarise_due

POINTS = 1_000


def fill(engine: Engine) -> UUID:
    account_id = bench_sync.fill(engine)
    with UnitOfWork(engine) as session, session.begin():
        session.add(Device(id=bench_storage.DEVICE, serial="EY-BENCH", model="ear_cymba"))
        session.flush()
        claimed_at = bench_storage.BEGAN_AT
        session.add(
            DeviceTenure(
                device_id=bench_storage.DEVICE, account_id=account_id, claimed_at=claimed_at
            )
        )
    database = bench_storage.Database(engine)
    simulated = bench_storage.simulated(6)
    database.store(bench_storage.hour_long(simulated[0]))
    database.keep()
    database.store(bench_storage.hour_long(simulated[-1]))
    with UnitOfWork(engine) as session, session.begin():
        summarise_due(session, now=bench_storage.BEGAN_AT + timedelta(days=1))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return account_id


def paths(engine: Engine, account_id: UUID) -> dict[str, str]:
    row = StimulationSession
    query = select(row.id).where(
        row.account_id == account_id, row.device_id == bench_storage.DEVICE
    )
    with UnitOfWork(engine) as session:
        recorded, in_table = session.scalars(query.order_by(row.started_at))
    telemetry = f"/v1/sessions/%s/telemetry?points={POINTS}"
    return {
        "telemetry, an hour, from the frame table": telemetry % in_table,
        "the same from a recording": telemetry % recorded,
        "history, two years by weeks": "/v1/history?period=week&from=2024-11-01&to=2026-10-31",
        "history, a month by days": "/v1/history?from=2026-01-01&to=2026-01-31",
        "a first page of 200 changes": "/v1/sync?limit=200",
        "a page of 50 sessions": "/v1/sessions?limit=50",
    }


def asking(engine: Engine, account_id: UUID, folder: Path) -> Callable[[str], bytes]:
    settings = Settings(data_dir=folder, log_level="error")
    logs.configure(settings)
    app = create_app(settings, engine)
    client = app.test_client()
    with UnitOfWork(engine) as session, session.begin():
        pair = sign_in(session, app.extensions["cymba"].signer, account_id, utc_now())
    headers = {"Authorization": f"Bearer {pair.access_token}"}

    def ask(path: str) -> bytes:
        found = client.get(path, headers=headers)
        assert found.status_code == 200, (path, found.data)
        body: bytes = found.data
        return body

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        engine = make_engine(server.url)
        try:
            schema.upgrade(engine)
            account_id = fill(engine)
            asked = paths(engine, account_id)
            ask = asking(engine, account_id, Path(folder))
            measure(asked, ask, server.pid, given.rounds, given.times)
        finally:
            engine.dispose()
            server.stop()


def measure(
    asked: dict[str, str], ask: Callable[[str], bytes], server_pid: int, rounds: int, times: int
) -> None:
    bytes_ = {name: len(ask(path)) for name, path in asked.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, path in asked.items():
            own, others = time.process_time(), cpu_s(server_pid)
            for _ in range(times):
                ask(path)
            own, others = time.process_time() - own, cpu_s(server_pid) - others
            taken[name].append((own / times * 1e3, others / times * 1e3))
    print(f"{'CPU, ms':44}{'process':>10}{'database':>10}{'kB':>8}")
    for name, each in taken.items():
        own, others = map(statistics.median, zip(*each, strict=True))
        print(f"{name:44}{own:10.2f}{others:10.2f}{bytes_[name] / 1e3:8.0f}")


if __name__ == "__main__":
    main()
