"""Three simulated people, whose records between them hold every kind of thing that FHIR shows."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, units_of_work
from cymba.devices import claiming
from cymba.devices.provisioning import provision
from cymba.diary.entries import DiaryEntries
from cymba.imports.found import KINDS
from cymba.imports.tables import DataImport, ImportedReading
from cymba.stimulation.written.sessions import WrittenSessions
from simulator.diarist import live_months
from simulator.past import write_past
from simulator.people import World
from tests.stimulation.worker_steps import summarise_due

UNTIL = datetime(2026, 3, 10, 21, tzinfo=UTC)
LONG_AGO = UNTIL - timedelta(days=400)
KEY = Ed25519PrivateKey.generate()
# One answer to each item, and what is odd about some.
EVERYTHING: Mapping[str, Any] = {
    "pain_now": 0, "pain_average": 10, "pain_worst": 10, "pain_site": ["lower_back", "ear"],
    "pain_kind": [], "mood": 3, "anxiety": 4, "sleep_quality": 5, "sleep_hours": 7.5,
    "fatigue": 6, "energy": 7, "digestion": 8, "stress": 9, "phq4": [0, 1, None, 3], "pgic": 4,
    "hoarseness": {"severity": "none"},
    "headache": {"severity": "moderate", "bothersome": True},
    "difficulty_swallowing": {"severity": "severe", "bothersome": False},
    "skin_redness": {"severity": "mild"}, "cycle_start": True,
    "medication": [{"name": "Paracetamol", "dose": "500 mg"}, {"name": " \t\x01 "}],
    "other_treatment": [], "condition": ["diabetic_neuropathy", "other"],
    "lab": [{"name": "hba1c", "value": 5.4}, {"name": "crp", "value": 0}],
}  # fmt: skip
HOSTILE = "<script>alert('x')</script> \u202e rtl \U0001f92f \x07\x1b[0m & ' \" \\ "


def enrol(session: Session, *, name: str, time_zone: str) -> UUID:
    account = Account(email=f"{uuid4().hex}@example.org", name=name, time_zone=time_zone)
    session.add(account)
    session.flush()
    return account.id


def hold(session: Session, account_id: UUID, model: str = "ear_cymba") -> str:
    made = next(provision(session, model))
    outcome = claiming.claim(session, account_id, made.serial, made.claim_code, LONG_AGO)
    assert isinstance(outcome, claiming.Claimed)
    return made.device_id


def write(
    session: Session,
    account_id: UUID,
    at: datetime,
    *,
    note: str | None = None,
    time_zone: str = "Europe/Berlin",
    **items: Any,
) -> UUID:
    """A diary entry, as an app writes it."""
    fields = {f"items.{name}": value for name, value in items.items()}
    fields |= {"felt_at": at, "time_zone": time_zone, "note": note}
    entry_id = uuid4()
    diary = DiaryEntries(KEY)
    diary.put(session, account_id, entry_id, fields, match=lambda _: None, now=UNTIL)
    return entry_id


def by_hand(session: Session, account_id: UUID, at: datetime, **fields: Any) -> UUID:
    given = {"recorder": "person", "started_at": at, "time_zone": "Asia/Kathmandu"}
    given |= {"duration_s": 1800, **fields}
    id_ = uuid4()
    written = WrittenSessions()
    written.put(session, account_id, id_, given, match=lambda _: None, now=UNTIL)
    return id_


def bring(session: Session, account_id: UUID) -> None:
    """Readings of a watch: of an import that is stored, and of one that is not."""
    for state in ("stored", "undoing"):
        import_id = uuid4()
        common = {"time_zone": "UTC", "created_at": UNTIL, "changed_at": UNTIL, "bytes": 1}
        session.add(DataImport(id=import_id, account_id=account_id, state=state, **common))
        session.flush()
        for number, kind in enumerate(KINDS.values()):
            for hour in range(3):
                at = UNTIL - timedelta(days=1, hours=hour)
                is_span = kind.unit is None
                session.add(
                    ImportedReading(
                        account_id=account_id,
                        kind=kind.name,
                        started_at=at,
                        ended_at=at + timedelta(minutes=number),
                        digest=uuid4().bytes,
                        import_id=import_id,
                        value=None if is_span else 50.5 + hour,
                        stage=("asleep", "in_bed", "session")[hour] if is_span else None,
                        source="Watch" if hour else HOSTILE.replace("\0", ""),
                    )
                )


def live_three(engine: Engine) -> tuple[UUID, UUID, UUID]:
    return _ana(engine), _ben(engine), _cem(engine)


def _ana(engine: Engine) -> UUID:
    """Has a device that measures, keeps a diary, and agreed to both purposes."""
    with UnitOfWork(engine) as session, session.begin():
        account_id = enrol(session, name="Ana", time_zone="Europe/Berlin")
        device_id = hold(session, account_id)
        consent.give(session, account_id, "insights", version="1/de", now=LONG_AGO)
        consent.give(session, account_id, "research", version="1/en", now=LONG_AGO)
        months = live_months(
            World(days=7),
            np.random.default_rng(3),
            first_day=date(2026, 3, 2),
            time_zone="Europe/Berlin",
        )
        for entry in months.entries:
            write(session, account_id, entry.felt_at, **entry.items)
        bring(session, account_id)
    begin = units_of_work(engine).begin
    write_past(
        begin, device_id, "ear_cymba", seed=5, days=7, until=UNTIL, time_zone="Europe/Berlin"
    )
    with begin() as session:
        summarise_due(session, now=UNTIL)
    return account_id


def _ben(engine: Engine) -> UUID:
    """Writes sessions down by hand, of a band whose current nobody knows."""
    with UnitOfWork(engine) as session, session.begin():
        account_id = enrol(session, name="", time_zone="America/New_York")
        device_id = hold(session, account_id, "neck_band")
        levels = [{"offset_s": 0, "native_level": 3}, {"offset_s": 600, "native_level": 5}]
        at = UNTIL - timedelta(days=3)
        by_hand(
            session, account_id, at, recorder="phone", device_id=device_id, level_changes=levels
        )
        by_hand(session, account_id, at - timedelta(days=1), model="tens_ear_clip", site="tragus")
        write(session, account_id, at, **EVERYTHING)
        claiming.release(session, account_id, device_id, UNTIL, key=KEY)
    return account_id


def _cem(engine: Engine) -> UUID:
    """Writes what no mapping expects."""
    with UnitOfWork(engine) as session, session.begin():
        account_id = enrol(session, name=HOSTILE, time_zone="Africa/Monrovia")
        at = datetime(1901, 1, 1, 12, tzinfo=UTC)  # Monrovia was 43 minutes and 8 seconds behind
        write(session, account_id, UNTIL - timedelta(hours=1), note=HOSTILE)
        write(session, account_id, at, phq4=[None] * 4, note=" \x02 ", time_zone="Africa/Monrovia")
        medication = [{"name": HOSTILE, "dose": "\x03"}] * 3
        write(session, account_id, UNTIL, medication=medication, condition=[], lab=[])
    return account_id
