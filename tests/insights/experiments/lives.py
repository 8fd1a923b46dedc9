"""A trial begun and lived, for tests of what comes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from cymba.devices import contraindications
from cymba.devices.contraindications import must_be_answered
from cymba.devices.models import MODELS
from cymba.devices.screening import answer
from cymba.diary.tables import DiaryEntry
from cymba.insights.experiments import plans, trials
from cymba.insights.tables import Experiment
from cymba.stimulation.tables import StimulationSession

KEY = Ed25519PrivateKey.generate()
DEVICE = "device-0001"
BEGAN = datetime(2026, 3, 1, 20, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
PROGRAMME = {
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 2000,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
    "ramp_ua_per_s": 500,
}


def begin(session: Session, account_id: UUID, **changes: Any) -> Experiment:
    wanted: dict[str, Any] = {
        "device_id": DEVICE,
        "outcome": "pain_now",
        "pairs": 8,
        "block_days": 3,
        "comparison_amplitude_ua": 0,
    }
    return trials.begin(session, account_id, **(wanted | changes), now=BEGAN)


def live(
    session: Session, experiment: Experiment, *, effect: float, comply: bool = True, seed: int = 5
) -> None:
    """Each full day has a session; each morning after one is moved by `effect`."""
    rng = np.random.default_rng(seed)
    level = 0.0
    for block in plans.all_blocks(experiment):
        for i in range(experiment.block_days):
            day = block.first_day + timedelta(days=i)
            is_full = block.arm == "full"
            at = datetime.combine(day, datetime.min.time(), tzinfo=ZONE) + timedelta(hours=19)
            if is_full or not comply:
                session.add(used(experiment.account_id, at))
            level = 0.5 * level + rng.normal(0, 0.7)
            pain = int(np.clip(round(6 + level + effect * is_full), 0, 10))
            session.add(felt(experiment.account_id, at + timedelta(hours=13), pain))
    session.flush()


def used(account_id: UUID, at: datetime) -> StimulationSession:
    return StimulationSession(
        id=uuid4(), device_id=DEVICE, sid=uuid4(), account_id=account_id, state="ended",
        started_at=at, ended_at=at + timedelta(minutes=30), time_zone="Europe/Berlin",
        time_source="anchored", time_error_ms=20, frames_stored=10, sample_count=1800,
        stimulating_s=900, contact_lost_s=0, delivered_charge_uc=11_250, max_amplitude_ua=2000,
        event_count=0, boots=[1], changed_at=at,
    )  # fmt: skip


def felt(account_id: UUID, at: datetime, pain: int) -> DiaryEntry:
    return DiaryEntry(
        account_id=account_id, id=uuid4(), felt_at=at, written_at=at, time_zone="Europe/Berlin",
        items={"pain_now": pain}, version=1, field_versions={},
    )  # fmt: skip


def delete(entries: Sequence[DiaryEntry], at: datetime) -> None:
    for entry in entries:
        entry.items, entry.deleted_at = {}, at


def at_block(experiment: Experiment, number: int) -> datetime:
    return plans.block_of(experiment, number).begins_at(ZONE) + timedelta(hours=1)


def end_of(experiment: Experiment) -> datetime:
    return plans.all_blocks(experiment)[-1].ends_at(ZONE) + timedelta(days=2, hours=1)


def advance(session: Session, experiment: Experiment, now: datetime) -> str:
    """What the worker does; gives the trial's status after it."""
    trials.advance(session, experiment.account_id, now=now)
    return experiment.status


def answer_again(session: Session, account_id: UUID, now: datetime) -> None:
    model = MODELS["ear_cymba"]
    answers = {question.name: "no" for question in must_be_answered(model.sites)}
    version = str(contraindications.version_in("en"))
    answer(session, account_id, model, answers, text_version=version, now=now)  # type: ignore[arg-type]
