"""What a page tells of besides sessions and entries: made up, and shown from the ORM's rows."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.accounts.tables import Account, Consent
from cymba.database import UnitOfWork
from cymba.devices.models import MODELS
from cymba.devices.programme import ProgrammeState
from cymba.devices.suspension import suspended
from cymba.devices.tables import (
    Device,
    DevicePresence,
    DeviceProgramme,
    DeviceSuspension,
    DeviceTenure,
    RedFlag,
    Screening,
    UnknownVersion,
)
from cymba.diary.tables import Reminder
from cymba.stimulation.session.electrode import wear
from cymba.stimulation.written.tables import Remark
from cymba.text_version import TextVersion
from service.shapes import devices, feed
from service.shapes.programme_states import programme_shown
from service.shapes.remarks import remark_shown
from service.shapes.reminders import reminder_shown

Row = dict[str, Any]
AT = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = st.integers(-2, 2).map(lambda us: AT + timedelta(microseconds=us))
LATER = st.none() | st.just(AT + timedelta(days=1))
IS = st.booleans()
DELETED = st.none() | st.just(AT)
PROGRAMME = {
    "frequency_hz": 25.0, "pulse_width_us": 250, "amplitude_ua": 1500, "on_s": 30, "off_s": 30,
    "duration_s": 1800, "site": "cymba_conchae", "side": "left",
}  # fmt: skip
VERSIONS = st.fixed_dictionaries(
    {
        "is_own": IS,
        "applied": st.none() | IS,
        "code": st.none() | st.sampled_from(["expired", "odd"]),
        "detail": st.none() | st.just("The firmware is too old."),
        "limits": st.just({}) | st.just({"amplitude_ua": 0, "daily_s": 7200.5}),
        "expires_at": LATER | TIMES,
        "published_at": LATER,
    }
)
HELD = st.fixed_dictionaries(
    {
        "name": st.text('ab ü"\\', max_size=5),
        "was_anothers": IS,
        "erased_ver": st.integers(0, 3),
        "presence": st.none()
        | st.fixed_dictionaries(
            {
                "online": IS,
                "seen_at": TIMES,
                "firmware": st.none() | st.just("2.4.1"),
                "battery_pct": st.none() | st.integers(0, 100),
                "queued_frames": st.none() | st.integers(0, 2**32 - 1),
            }
        ),
        "until": LATER,
        "unknown": st.none() | IS,  # whether it is settled
        "versions": st.lists(VERSIONS, max_size=3),
    }
)
OTHERS = st.fixed_dictionaries(
    {
        "held": st.lists(HELD, max_size=2),
        "consents": st.lists(st.tuples(st.sampled_from(["insights", "research"]), LATER)),
        "answers": st.lists(st.tuples(st.sampled_from(["ear_cymba", "ear_clip"]), TIMES)),
        "flags": st.lists(st.tuples(TIMES, LATER), max_size=3),
        "reminders": st.lists(st.tuples(IS, DELETED), max_size=2),
        "remarks": st.lists(st.tuples(st.none() | st.just("Torn"), DELETED), max_size=2),
    }
)


def add_others(session: UnitOfWork, account_id: UUID, made: Row) -> None:
    own = {"account_id": account_id}
    for one in made["held"]:
        add_held(session, account_id, one)
    standing = set()
    for purpose, withdrawn_at in made["consents"]:
        if withdrawn_at is None and purpose in standing:
            continue
        standing |= {purpose} if withdrawn_at is None else set()
        text = {"text_version": 1, "text_language": "en", "text_sha256": "0f" * 32}
        row = {"purpose": purpose, "given_at": AT, "withdrawn_at": withdrawn_at} | text | own
        session.execute(insert(Consent), [row])
        announce(session, account_id, "consent", purpose, deleted=purpose not in standing)
    for model, answered_at in made["answers"]:
        text = {"text_version": 2, "text_language": "de", "text_digest": b""}
        row = {"model": model, "answers": {"b": "no", "a": "yes"}, "answered_at": answered_at}
        row |= {"expires_at": AT} | text | own
        session.execute(insert(Screening), [row])
        announce(session, account_id, "screening", model)
    for raised_at, lifted_at in made["flags"]:
        row = {"id": uuid4(), "symptom": "fainting", "felt_at": AT, "raised_at": raised_at}
        session.execute(insert(RedFlag), [row | {"lifted_at": lifted_at} | own])
        announce(session, account_id, "red-flag", row["id"], deleted=lifted_at is not None)
    merged = {"written_at": AT, "version": 1, "field_versions": {}} | own
    for is_on, deleted_at in made["reminders"]:
        row = {"id": uuid4(), "title": "Noon", "local_times": ["12:00"], "weekdays": [1, 7]}
        row |= {"items": ["mood"], "enabled": is_on, "at_usual_hour": is_on}
        session.execute(insert(Reminder), [row | {"deleted_at": deleted_at} | merged])
        announce(session, account_id, "reminder", row["id"], deleted=deleted_at is not None)
    for note, deleted_at in made["remarks"]:
        row = {"id": uuid4(), "what": "put_away", "said_of": AT, "time_zone": "UTC"}
        row |= {"model": "ear_clip", "note": note if deleted_at is None else None}
        session.execute(insert(Remark), [row | {"deleted_at": deleted_at} | merged])
        announce(session, account_id, "remark", row["id"], deleted=deleted_at is not None)


def add_held(session: UnitOfWork, account_id: UUID, made: Row) -> None:
    other = Account(email=f"{uuid4().hex}@example.org")
    id_ = f"device-{uuid4().hex[:8]}"
    device = Device(id=id_, serial=id_, model="ear_cymba", erased_ver=made["erased_ver"])
    session.add_all([other, device])
    session.flush()
    if made["was_anothers"]:
        before = {"claimed_at": AT - timedelta(days=9), "released_at": AT - timedelta(days=1)}
        session.add(DeviceTenure(device_id=id_, account_id=other.id, **before))
    tenure = {"account_id": account_id, "name": made["name"], "claimed_at": AT}
    session.add(DeviceTenure(device_id=id_, **tenure))
    if made["presence"] is not None:
        counters = {"store": 1, "boot": 2**32 - 1, "sent_ms": 5, "changed_at": AT}
        session.add(DevicePresence(device_id=id_, **counters, **made["presence"]))
    if made["until"] is not None:
        session.add(DeviceSuspension(device_id=id_, secret_hash="", until=made["until"]))
    if made["unknown"] is not None:
        settled_at = AT if made["unknown"] else None
        reported = {"ver": 7, "held_ver": 0, "reported_at": AT, "settled_at": settled_at}
        session.add(UnknownVersion(device_id=id_, **reported))
    for ver, one in enumerate(made["versions"], 1):
        given = {name: one[name] for name in one.keys() - {"is_own"}}
        given |= {"account_id": account_id if one["is_own"] else None, "created_at": AT}
        given |= {"reported_at": AT, "programme": PROGRAMME, "signature": ""}
        session.add(DeviceProgramme(device_id=id_, ver=ver, **given))
    announce(session, account_id, "device", id_)


def others_shown(session: Session, account_id: UUID, now: datetime) -> dict[str, list[Row]]:
    def all_of(table: Any, *conditions: Any, by: Any = None) -> Any:
        query = select(table).where(table.account_id == account_id, *conditions)
        return session.scalars(query if by is None else query.order_by(*by)).all()

    by_age = (Screening.answered_at, Screening.id.desc())
    latest = {one.model: one for one in all_of(Screening, by=by_age)}
    return {
        "devices": [device_shown(session, one, now) for one in all_of(DeviceTenure)],
        "consents": [
            feed._consent_shown(one, text_version=version_of(one))
            for one in all_of(Consent, Consent.withdrawn_at.is_(None))
        ],
        "screenings": [
            feed._screening_shown(one, text_version=version_of(one)) for one in latest.values()
        ],
        "red_flags": [
            feed._red_flag_shown(one) for one in all_of(RedFlag, RedFlag.lifted_at.is_(None))
        ],
        "reminders": [
            reminder_shown(one) for one in all_of(Reminder, Reminder.deleted_at.is_(None))
        ],
        "remarks": [remark_shown(one) for one in all_of(Remark, Remark.deleted_at.is_(None))],
    }


def version_of(one: Consent | Screening) -> str:
    return str(TextVersion(one.text_version, one.text_language))


def device_shown(session: Session, tenure: DeviceTenure, now: datetime) -> Row:
    device = session.get_one(Device, tenure.device_id)
    presence = session.get(DevicePresence, device.id)
    suspension = session.get(DeviceSuspension, device.id)
    unknown = session.get(UnknownVersion, device.id)
    model = MODELS[device.model]
    earlier = select(DeviceTenure).where(DeviceTenure.device_id == device.id)
    was_anothers = len(session.scalars(earlier).all()) > 1
    if presence is not None and was_anothers and presence.seen_at < tenure.claimed_at:
        presence = None
    row = DeviceProgramme
    of_device = select(row).where(row.device_id == device.id).order_by(row.ver.desc())
    versions: Any = session.scalars(of_device).all()
    desired = versions[0] if versions else None
    applied = [one for one in versions if one.account_id is not None and one.applied]
    version = max(device.erased_ver, desired.ver if desired else 0)
    if desired is None or desired.account_id is not None:
        held = applied[0] if applied else None
        state = ProgrammeState(version, desired, held, limits=desired.limits if desired else {})
    else:
        state = ProgrammeState(version, None, None, desired.applied is not True, desired.limits)
    shown = devices._device_shown(
        SimpleNamespace(
            device=device,
            tenure=tenure,
            presence=presence,
            suspension=suspended(None if suspension is None else suspension.until),
            unknown_programme=unknown if unknown and unknown.settled_at is None else None,
        ),
        model_title=model.titles["en"],
        before_trial=None,
        electrode=devices._electrode_shown(wear([])),
    )
    return shown | {"programme": programme_shown(state, model, now)}
