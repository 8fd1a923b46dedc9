"""A first sync of two years beside the same rows as PostgreSQL's own JSON; a sync without news.

    python -m benchmarks.bench_sync

Both go through the same Flask application and the same test client, in one process and one run.
"""

import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response
from sqlalchemy import Engine, insert, text

from cymba.accounts import consent
from cymba.accounts.changes import Kind, announce
from cymba.accounts.consent import PURPOSES
from cymba.accounts.tables import Account
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices import screening
from cymba.devices.claiming import claim
from cymba.devices.contraindications import Answer, must_be_answered, version_in
from cymba.devices.messages import Presence, Programme, ReportedState
from cymba.devices.models import MODELS
from cymba.devices.presence import record_presence
from cymba.devices.programme import Accepted, Wanted, record_report, set_programme
from cymba.devices.provisioning import provision
from cymba.devices.signing import load_key
from cymba.devices.tables import Device
from cymba.diary.tables import DiaryEntry
from cymba.settings import Settings
from cymba.stimulation.tables import StimulationSession
from ops import logs, postgres, schema
from service import create_app
from service.http.services import Services

SESSIONS, ENTRIES, PAGE = 700, 2500, 200
ROUNDS = 7
PROGRAMME = {
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 1500,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
}
BEGAN = datetime(2024, 11, 1, tzinfo=UTC)

FLOOR = text(
    """
    SELECT json_agg(row_to_json(shown))::text FROM (
        SELECT c.number, s.*, e.items, e.felt_at, e.written_at, e.note AS entry_note
        FROM (SELECT * FROM change WHERE account_id = :account AND number > :after
              ORDER BY number LIMIT :page) c
        LEFT JOIN stimulation_session s
             ON s.id = CASE c.kind WHEN 'session' THEN c.entity_id::uuid END
        LEFT JOIN diary_entry e ON e.account_id = c.account_id
             AND e.id = CASE c.kind WHEN 'diary-entry' THEN c.entity_id::uuid END
        ORDER BY c.number
    ) shown
    """
)


def fill(engine: Engine) -> UUID:
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="two-years@example.org")
        session.add_all([account, Device(id="device-0001", serial="S1", model="ear_cymba")])
        session.flush()
        add_history(session, account.id, "device-0001", sessions=SESSIONS, entries=ENTRIES)
        return account.id


def fill_with_device(engine: Engine, key: Ed25519PrivateKey) -> UUID:
    """One who holds a device that has its programme, and whose record is one page."""
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="holder@example.org")
        session.add(account)
        session.flush()
        made = next(provision(session, "ear_cymba"))
        claim(session, account.id, made.serial, made.claim_code, BEGAN)
        for purpose in PURPOSES:
            consent.give(session, account.id, purpose, version="1/en", now=BEGAN)
        model, text_version = MODELS["ear_cymba"], str(version_in("en"))
        answers: dict[str, Answer] = {one.name: "no" for one in must_be_answered(model.sites)}
        screening.answer(session, account.id, model, answers, text_version=text_version, now=BEGAN)
        programme = msgspec.convert(PROGRAMME | {"ramp_ua_per_s": 500}, Programme)
        accepted = set_programme(
            session, key, account.id, made.device_id, Wanted(programme), if_version=0, now=BEGAN
        )
        assert isinstance(accepted, Accepted)
        reported = ReportedState(ver=accepted.row.ver, applied=True)
        record_report(session, made.device_id, reported, BEGAN)
        online = Presence(online=True, store=1, boot=1, sent=0, battery_pct=83, queued=0)
        record_presence(session, made.device_id, online, BEGAN)
        add_history(session, account.id, made.device_id, sessions=60, entries=PAGE - 64)
        return account.id


def add_history(
    session: UnitOfWork, account_id: UUID, device_id: str, *, sessions: int, entries: int
) -> None:
    rng = random.Random(1)
    recorded: list[dict[str, Any]] = [
        {
            "id": uuid4(),
            "device_id": device_id,
            "sid": uuid4(),
            "account_id": account_id,
            "state": "ended",
            "started_at": BEGAN + timedelta(days=i),
            "ended_at": BEGAN + timedelta(days=i, minutes=30),
            "time_zone": "Europe/Berlin",
            "time_source": "anchored",
            "time_error_ms": 20,
            "end_reason": "completed",
            "programme": PROGRAMME,
            "frames_stored": 182,
            "frames_expected": 182,
            "completeness": 1.0,
            "sample_count": 1800,
            "stimulating_s": 900.0,
            "contact_lost_s": 0.0,
            "delivered_charge_uc": 11250.0,
            "event_count": 2,
            "boots": [1],
            "changed_at": BEGAN,
        }
        for i in range(sessions)
    ]
    written: list[dict[str, Any]] = [
        {
            "account_id": account_id,
            "id": uuid4(),
            "felt_at": BEGAN + timedelta(hours=7 * i),
            "written_at": BEGAN + timedelta(hours=7 * i),
            "time_zone": "Europe/Berlin",
            "items": {name: rng.randint(0, 10) for name in ("pain_now", "mood", "fatigue")},
            "note": "A line of text, as people write it.",
            "version": 1,
            "field_versions": {"felt_at": 1, "items.pain_now": 1},
        }
        for i in range(entries)
    ]
    session.execute(insert(StimulationSession), recorded)
    session.execute(insert(DiaryEntry), written)
    changes: list[tuple[Kind, UUID]] = [("session", row["id"]) for row in recorded]
    changes += [("diary-entry", row["id"]) for row in written]
    rng.shuffle(changes)
    for kind, entity_id in changes:
        announce(session, account_id, kind, entity_id)


def add_floor(app: Flask, engine: Engine, account_id: UUID) -> None:
    @app.get("/floor/<int:after>")
    def floor(after: int) -> Response:
        values = {"account": account_id, "after": after, "page": PAGE}
        with engine.connect() as connection:
            body = connection.execute(FLOOR, values).scalar_one()
        return Response(body, content_type="application/json")


def cpu_ms(work: Callable[[], int], *, times: int = 30) -> float:
    """Of this process alone, for one; it hardly depends on what else the machine does."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - began) / times)
    return statistics.median(taken) * 1e3


def timed(work: Callable[[], int]) -> tuple[float, int]:
    taken, count = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        count = work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), count


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        engine = make_engine(server.url)
        try:
            schema.upgrade(engine)
            run(engine, Path(folder))
        finally:
            engine.dispose()
            server.stop()


def run(engine: Engine, folder: Path) -> None:
    account_id = fill(engine)
    settings = Settings(data_dir=folder, log_level="error")
    logs.configure(settings)  # else each request writes a line while it is timed
    app = create_app(settings, engine)
    add_floor(app, engine, account_id)
    client = app.test_client()
    holder_id = fill_with_device(engine, load_key(settings))
    signer = Services.of(app).signer

    def signed_in(account_id: UUID) -> dict[str, str]:
        with UnitOfWork(engine) as session, session.begin():
            pair = sign_in(session, signer, account_id, utc_now())
        return {"Authorization": f"Bearer {pair.access_token}"}

    headers, holder = signed_in(account_id), signed_in(holder_id)
    last_cursor = ""

    def first_sync() -> int:
        nonlocal last_cursor
        cursor, more, count = "", True, 0
        while more:
            path = f"/v1/sync?limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = json.loads(client.get(path, headers=headers).data)
            cursor, more = page["next_cursor"], page["more"]
            count += len(page["sessions"]) + len(page["diary_entries"])
        last_cursor = cursor
        return count

    def floor() -> int:
        count = 0
        for after in range(0, SESSIONS + ENTRIES, PAGE):
            count += len(json.loads(client.get(f"/floor/{after}").data))
        return count

    def no_news() -> int:
        return client.get(f"/v1/sync?cursor={last_cursor}", headers=headers).status_code

    def first_page() -> int:
        return client.get(f"/v1/sync?limit={PAGE}", headers=headers).status_code

    def first_page_with_device() -> int:
        return client.get(f"/v1/sync?limit={PAGE}", headers=holder).status_code

    def nothing() -> int:
        return client.get("/healthz").status_code

    first_sync(), floor()  # warm
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sync_s, synced = timed(first_sync)
    floor_s, rows = timed(floor)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert synced == rows == SESSIONS + ENTRIES
    print(f"{'':34}{'median':>12}{'ratio to floor':>16}")
    print(f"{'first sync, 3,200 rows':34}{sync_s * 1e3:9.0f} ms{sync_s / floor_s:16.2f}")
    print(f"{'floor: the same rows by json_agg':34}{floor_s * 1e3:9.0f} ms{1:16.2f}")
    print(f"{'CPU of a first page of 200':34}{cpu_ms(first_page):9.2f} ms")
    (device,) = json.loads(client.get(f"/v1/sync?limit={PAGE}", headers=holder).data)["devices"]
    assert device["programme"]["in_step"]
    with_device = "the same of a person with a device"
    print(f"{with_device:34}{cpu_ms(first_page_with_device):9.2f} ms")
    print(f"{'CPU of a sync without news':34}{cpu_ms(no_news):9.2f} ms")
    print(f"{'CPU of /healthz, which does nothing':34}{cpu_ms(nothing):9.2f} ms")
    print(f"peak memory grew by {grown_kib} KiB over {ROUNDS} first syncs and floors")


if __name__ == "__main__":
    main()
