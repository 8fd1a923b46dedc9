"""Simulated people in the database, without the way over devices and phones."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.changes import announce
from cymba.accounts.tables import Account
from cymba.devices.tables import Device, DeviceTenure
from cymba.diary.tables import DiaryEntry
from cymba.insights import findings
from cymba.stimulation.tables import StimulationSession
from simulator.diarist import Months, live_months
from simulator.people import World

ZONE = "Europe/Berlin"
SESSION = timedelta(minutes=30)
CHARGE_UC = 11_000.0


def enrol(
    session: Session, *, purposes: tuple[str, ...] = ("insights",), locale: str = "en"
) -> UUID:
    account = Account(email=f"{uuid4().hex}@example.org", time_zone=ZONE, locale=locale)
    session.add(account)
    session.flush()
    agree(session, account.id, *purposes)
    return account.id


def agree(session: Session, account_id: UUID, *purposes: str) -> None:
    for purpose in purposes:
        consent.give(session, account_id, purpose, version="1/en", now=datetime.now(UTC))


def live_in_database(
    session: Session, account_id: UUID, world: World, *, seed: int, first_day: date
) -> Months:
    """Sessions and diary of a simulated person, as if all of it had been uploaded; not committed.

    The charge of a session varies by a tenth, as amplitudes do.
    """
    rng = np.random.default_rng(seed)
    months = live_months(world, rng, first_day=first_day, time_zone=ZONE)
    device = Device(id=uuid4().hex[:16], serial=uuid4().hex, model="ear_cymba")
    began = datetime.combine(first_day, datetime.min.time(), UTC) - timedelta(days=1)
    session.add(device)
    session.flush()
    session.add(DeviceTenure(device_id=device.id, account_id=account_id, claimed_at=began))
    if months.starts:
        session.execute(
            insert(StimulationSession),
            [
                {
                    "id": uuid4(), "device_id": device.id, "sid": uuid4(),
                    "account_id": account_id, "state": "ended", "started_at": start,
                    "ended_at": start + SESSION, "time_zone": ZONE, "time_source": "anchored",
                    "time_error_ms": 20, "frames_stored": 10, "sample_count": 1800,
                    "stimulating_s": 900, "contact_lost_s": 0,
                    "delivered_charge_uc": CHARGE_UC * float(rng.uniform(0.9, 1.1)),
                    "event_count": 0, "boots": [1], "changed_at": start + SESSION,
                }
                for start in months.starts
            ],
        )  # fmt: skip
    session.execute(
        insert(DiaryEntry),
        [
            {
                "account_id": account_id, "id": uuid4(), "felt_at": entry.felt_at,
                "written_at": entry.felt_at, "time_zone": ZONE, "items": entry.items,
                "version": 1, "field_versions": {}, "changed_at": entry.felt_at,
            }
            for entry in months.entries
        ],
    )  # fmt: skip
    announce(session, account_id, "diary-entry", uuid4())
    return months


def refresh(session: Session, account_id: UUID) -> list[str]:
    """What the worker does, and a commit."""
    told = findings.refresh(session, account_id, now=datetime.now(UTC))
    session.commit()
    return told
