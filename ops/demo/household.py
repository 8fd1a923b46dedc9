"""The demo's person and their devices: made once, kept with the demo's data."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.profile import find_by_email, register
from cymba.database import UnitOfWork, units_of_work, utc_now
from cymba.devices import contraindications, screening
from cymba.devices.models import MODELS, Model, usual_programme
from cymba.devices.programme import ProgrammeRefused, Wanted, set_programme
from cymba.devices.signing import load_key, show_public_key
from cymba.diary.entries import DiaryEntries
from cymba.diary.reminders import Reminders
from cymba.insights.experiments import trials
from cymba.settings import Settings
from cymba.whole_file import replaced
from ops.household import provision_for
from simulator.diarist import Entry, live_months
from simulator.past import write_past
from simulator.people import World

FILE_NAME = "household.json"
TIME_ZONE = "Europe/Lisbon"
DEVICES = ("ear_cymba", "ear_clip", "neck")  # the first has a past
PAST_DAYS = 120
LIVED = World(days=PAST_DAYS, effect=-1.0, days_before_use=14)
SEED = 20260314
TRIAL_PAIRS, TRIAL_BLOCK_DAYS = 21, 2  # what the preview offers first


@dataclass(frozen=True)
class OwnedDevice:
    device_id: str
    model: str
    secret: str
    programme_key: str  # the public half of the key that signs programmes


@dataclass(frozen=True)
class Household:
    """The person's credentials, and their devices."""

    email: str
    password: str
    devices: tuple[OwnedDevice, ...]


def load(folder: Path, engine: Engine) -> Household | None:
    """The household of an earlier run in this folder, if its set-up was finished."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    household = Household(
        kept["email"],
        kept["password"],
        tuple(OwnedDevice(**one) for one in kept["devices"]),
    )
    with UnitOfWork(engine) as session:
        return household if find_by_email(session, household.email) else None


def move_in(engine: Engine, settings: Settings) -> Household:
    """Register the person and give them a device of each model, with its default programme.

    An interrupted set-up may have left a person whose password is lost, so a new one is registered
    each time.
    """
    password = secrets.token_urlsafe(9)
    key = load_key(settings)
    programme_key = show_public_key(key)
    with UnitOfWork(engine) as session:
        email, number = "ana@example.org", 1
        while find_by_email(session, email) is not None:
            number += 1
            email = f"ana{number}@example.org"
        person = register(session, email=email, password=password, name="Ana", time_zone=TIME_ZONE)
        devices = provision_for(session, email, DEVICES)
        for one in devices:
            prescribe(session, key, person.id, one.device_id, MODELS[one.model])
        session.commit()
    return Household(
        email,
        password,
        tuple(OwnedDevice(one.device_id, one.model, one.secret, programme_key) for one in devices),
    )


def prescribe(
    session: Session, key: Ed25519PrivateKey, account_id: UUID, device_id: str, model: Model
) -> None:
    """What the app does with a new device: the screening, without a contraindication, and a
    programme that leaves the current to the person."""
    now = utc_now()
    answers: dict[str, contraindications.Answer] = {
        question.name: "no" for question in contraindications.must_be_answered(model.sites)
    }
    version = str(contraindications.version_in("en"))
    screening.answer(session, account_id, model, answers, text_version=version, now=now)
    wanted = Wanted(usual_programme(model))
    outcome = set_programme(session, key, account_id, device_id, wanted, if_version=0, now=now)
    if isinstance(outcome, ProgrammeRefused):
        raise outcome.error


def live_past(
    household: Household, engine: Engine, settings: Settings, progress: Callable[[float], None]
) -> int:
    """Write `PAST_DAYS` of sessions with the first device, and a diary. Return the number of
    sessions."""
    first = household.devices[0]
    today = utc_now().astimezone(ZoneInfo(TIME_ZONE)).date()
    months = live_months(
        LIVED,
        np.random.default_rng(SEED),
        first_day=today - timedelta(days=PAST_DAYS),
        time_zone=TIME_ZONE,
    )
    with UnitOfWork(engine) as session, session.begin():
        write_diary(session, load_key(settings), household.email, months.entries)
        remind(session, household.email)
    written = write_past(
        units_of_work(engine).begin,
        first.device_id,
        first.model,
        seed=SEED,
        days=PAST_DAYS,
        until=utc_now(),
        time_zone=TIME_ZONE,
        starts=months.starts,
        progress=progress,
    )
    return written.sessions


def write_diary(
    session: Session, key: Ed25519PrivateKey, email: str, written: Sequence[Entry]
) -> None:
    """Write the person's diary, and their consent to analysing it."""
    account = find_by_email(session, email)
    if account is None:
        raise RuntimeError("the demo's person is gone")
    entries, now = DiaryEntries(key), utc_now()
    version = str(consent.PURPOSES["insights"].version_in("en"))
    consent.give(session, account.id, "insights", version=version, now=now)
    for entry in written:
        entry_id = uuid4()
        fields = {"felt_at": entry.felt_at, "time_zone": TIME_ZONE}
        items = {f"items.{name}": value for name, value in entry.items.items()}
        entries.put(session, account.id, entry_id, fields | items, match=lambda _: None, now=now)


def begin_trial(engine: Engine, household: Household) -> None:
    """A trial of pain that begins tomorrow, with a first block to agree to."""
    with UnitOfWork(engine) as session, session.begin():
        account = find_by_email(session, household.email)
        if account is None:
            raise RuntimeError("the demo's person is gone")
        trials.begin(
            session,
            account.id,
            device_id=household.devices[0].device_id,
            outcome="pain_now",
            pairs=TRIAL_PAIRS,
            block_days=TRIAL_BLOCK_DAYS,
            comparison_amplitude_ua=0,
            now=utc_now(),
        )


def remind(session: Session, email: str) -> None:
    """Ask for the diary three times a day, so that a prompt is due or near whenever one looks."""
    account = find_by_email(session, email)
    if account is None:
        raise RuntimeError("the demo's person is gone")
    wanted = {
        "title": "Diary",
        "local_times": ["08:00", "14:00", "21:00"],
        "weekdays": [1, 2, 3, 4, 5, 6, 7],
        "items": ["pain_now", "mood"],
        "enabled": True,
        "at_usual_hour": False,
    }
    Reminders().put(session, account.id, uuid4(), wanted, match=lambda _: None, now=utc_now())


def keep(household: Household, folder: Path) -> None:
    """Save the household, readable by its owner alone, once the set-up is finished."""
    with replaced(folder / FILE_NAME) as file:
        file.write(json.dumps(asdict(household), indent=2).encode())
