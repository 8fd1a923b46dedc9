"""An account's sessions, read and deleted by its app. Every query names the account."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg
from sqlalchemy import String, Uuid, bindparam, literal_column, select, union_all, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import Prepared, line_of
from cymba.devices.anchors import load_many_clocks
from cymba.devices.catalogue import known_model, newest_document
from cymba.devices.claiming import IN_TURN, HeldTenure, Tenures
from cymba.devices.models import Reports
from cymba.devices.tables import Device, DeviceTenure
from cymba.errors import NotFound, Rejected
from cymba.stimulation.archive.columns import load_columns
from cymba.stimulation.archive.erasure import erase_frames
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.session import telemetry as channels_over_time
from cymba.stimulation.session.events import SessionEvent, session_events
from cymba.stimulation.session.made_up import KNOWS_ALL, unknown_to, without_made_up
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.session.telemetry import Telemetry
from cymba.stimulation.session.timing import boots_among, boots_of
from cymba.stimulation.tables import SessionExtent, StimulationSession
from cymba.stimulation.written.sessions import WrittenSessions
from cymba.stimulation.written.tables import WrittenSession
from cymba.stimulation.written.witnesses import recorded_witness, regroup
from cymba.voice import said

SESSIONS_AT_ONCE = 50

MOST_CHANNELS = 64
"""In one answer. A device names its own, and may name others in each frame."""


def read_session(session: Session, account_id: UUID, session_id: UUID) -> Shown:
    """A session, whoever recorded it.

    Raises:
        NotFound: the account has no such session.
    """
    shown = load_shown(session, account_id, [session_id])
    if not shown:
        raise _no_session()
    return shown[0]


def _no_session() -> NotFound:
    return NotFound(said("There is no such {noun}.", noun="session"))


def find_session(
    session: Session, account_id: UUID, session_id: UUID
) -> StimulationSession | WrittenSession:
    """A session that a device recorded, or one that was written down, which has no frames.

    Raises:
        NotFound: the account has no such session.
    """
    try:
        return get_session(session, account_id, session_id)
    except NotFound:
        return WrittenSessions().get(session, account_id, session_id)


def get_session(session: Session, account_id: UUID, session_id: UUID) -> StimulationSession:
    """A session that a device recorded.

    Raises:
        NotFound: the account has no such session.
    """
    return _one(session, account_id, session_id, locked=False)


def every_session(session: Session, account_id: UUID) -> Iterator[StimulationSession]:
    """All that devices recorded, without those that were deleted: one in memory at a time."""
    row = StimulationSession
    query = select(row.id).where(row.account_id == account_id, row.deleted_at.is_(None))
    query, last = query.order_by(row.id).limit(SESSIONS_AT_ONCE), None
    while True:
        page = query if last is None else query.where(row.id > last)
        ids = session.scalars(page).all()
        for session_id in ids:
            yield session.get_one(row, session_id)
        if len(ids) < SESSIONS_AT_ONCE:
            return
        last = ids[-1]


def lock_session(session: Session, account_id: UUID, session_id: UUID) -> StimulationSession:
    """The session as it is now, locked, so that its version can be checked and raised.

    Raises:
        NotFound: the account has no such session.
    """
    return _one(session, account_id, session_id, locked=True)


def delete_session(session: Session, locked: StimulationSession, now: datetime) -> None:
    """Delete a session: its frames and everything derived from them are erased for good.

    An empty row stays, so that late frames are erased too. Its other witnesses are shown in its
    place. The caller holds the account's lock (`lock_alone`).
    """
    account_id = locked.account_id
    was = recorded_witness(
        locked.id, locked.device_id, locked.started_at, locked.ended_at, locked.time_error_ms
    )
    _blank(locked, now)
    _erase_frames(session, locked)
    if account_id is not None:
        announce(session, account_id, "session", locked.id, deleted=True)
        session.flush()
        regroup(session, account_id, [was])


def events_of(session: Session, found: StimulationSession) -> list[SessionEvent]:
    line = line_of(session)
    recorder = _recorder_of(line, found.device_id, found.started_at)
    stored = load_frames(
        session, found.device_id, found.sid, reads=lambda _: False, before=recorder.before
    )
    frames = without_made_up(stored, recorder.reports)
    if not frames:
        return []
    (clocks,) = load_many_clocks(
        line,
        [(found.device_id, boots_of(frames))],
        provisioned_at=recorder.provisioned_at,
    )
    return session_events(frames, clocks)


class RecordedSession(Protocol):
    """A session and where its frames are: nowhere, if no device recorded it."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def device_id(self) -> str | None: ...
    @property
    def sid(self) -> UUID | None: ...


class FoundSession(NamedTuple):
    """As `RecordedSession`."""

    started_at: datetime
    device_id: str | None
    sid: UUID | None


def find_recorded(
    line: psycopg.Connection[Any], account_id: UUID, session_id: UUID
) -> FoundSession:
    """
    Raises:
        NotFound: the account has no such session.
    """
    rows = _FOUND.rows(line, account_id=account_id, session_id=session_id)
    if not rows:
        raise _no_session()
    return FoundSession(*rows[0])


def telemetry_of(
    line: psycopg.Connection[Any],
    found: RecordedSession,
    *,
    channels: Collection[str] | None = None,
    points: int | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Telemetry:
    """`telemetry.telemetry` of a stored session."""
    if found.device_id is None or found.sid is None:
        return Telemetry(found.started_at, ())
    recorder = _recorder_of(line, found.device_id, found.started_at)
    columns = load_columns(line, found.device_id, found.sid, before=recorder.before)
    if not columns.heads.seq.size:
        return Telemetry(found.started_at, ())
    wanted = columns.channels - unknown_to(recorder.reports)
    if channels is not None:
        wanted &= frozenset(channels)
    if len(wanted) > MOST_CHANNELS:
        raise _too_large(
            "/channels", said("more than {most} channels: name some", most=MOST_CHANNELS)
        )
    (clocks,) = load_many_clocks(
        line,
        [(found.device_id, boots_among(columns.heads))],
        provisioned_at=recorder.provisioned_at,
    )
    try:
        return channels_over_time.telemetry(
            columns, clocks, channels=wanted, points=points, begin=begin, end=end
        )
    except channels_over_time.TooManyReadings:
        detail = said(
            "more than {most} readings: give `channels`, `from`, `to` or less",
            most=channels_over_time.MOST_READINGS,
        )
        raise _too_large("/points", detail) from None


def _too_large(pointer: str, detail: str) -> Rejected:
    errors = [{"pointer": pointer, "detail": detail}]
    return Rejected("The answer would be too large.", code="validation", errors=errors)


class _Recorder(NamedTuple):
    """The device of a session. `before`: by when those frames of the session were received that its
    person gets (`Tenures.closed_at`)."""

    before: datetime | None
    reports: Reports
    provisioned_at: Mapping[str, datetime]


def _recorder_of(line: psycopg.Connection[Any], device_id: str, started_at: datetime) -> _Recorder:
    rows = _RECORDER.rows(line, device_id=device_id)
    if not rows:
        return _Recorder(None, KNOWS_ALL, {})
    name, document, provisioned_at, *_ = rows[0]
    model = known_model(name, document)
    tenures = Tenures([HeldTenure(*row[4:]) for row in rows if row[3] is not None])
    return _Recorder(
        tenures.closed_at(started_at),
        model.reports if model else KNOWS_ALL,
        {device_id: provisioned_at},
    )


_SESSION, _WRITTEN = StimulationSession, WrittenSession
_FOUND = Prepared(
    union_all(
        *(
            select(row.started_at, *columns).where(
                row.id == bindparam("session_id", type_=Uuid()),
                row.account_id == bindparam("account_id", type_=Uuid()),
                row.deleted_at.is_(None),
            )
            for row, columns in (
                (_SESSION, (_SESSION.device_id, _SESSION.sid)),
                (_WRITTEN, (literal_column("NULL"), literal_column("NULL"))),
            )
        )
    )
)
_RECORDER = Prepared(
    select(
        Device.model,
        newest_document(Device.model),
        Device.created_at,
        DeviceTenure.id,
        DeviceTenure.account_id,
        DeviceTenure.claimed_at,
        DeviceTenure.released_at,
    )
    .outerjoin(DeviceTenure, DeviceTenure.device_id == Device.id)
    .where(Device.id == bindparam("device_id", type_=String()))
    .order_by(*IN_TURN)
)
_MEASURED = (
    "delivered_charge_uc",
    "pulses",
    "mean_amplitude_ua",
    "max_amplitude_ua",
    "mean_native_level",
    "max_native_level",
    "mean_amplitude_over_threshold",
    "mean_impedance_ohm",
    "start_impedance_ohm",
    "heart_rate_before_bpm",
    "heart_rate_during_bpm",
    "rmssd_ms",
    "rr_artefact_share",
)


def _one(
    session: Session, account_id: UUID, session_id: UUID, *, locked: bool
) -> StimulationSession:
    row = StimulationSession
    query = select(row).where(
        row.id == session_id, row.account_id == account_id, row.deleted_at.is_(None)
    )
    if locked:  # by its device, which tells where it lies on several nodes
        device_id = session.scalar(query.with_only_columns(row.device_id))
        query = query.where(row.device_id == device_id).with_for_update(key_share=True)
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFound("This account has no session with this id.")
    return found


def _blank(row: StimulationSession, now: datetime) -> None:
    """Empty the row; what stays says that the session was deleted."""
    row.deleted_at = row.started_at = row.ended_at = now
    row.state, row.end_reason = "ended", None
    row.note, row.excluded, row.programme = None, False, None
    row.frames_stored, row.frames_expected, row.completeness = 0, None, None
    row.sample_count, row.event_count, row.boots, row.doubts = 0, 0, [], []
    row.stimulating_s, row.contact_lost_s = 0.0, 0.0
    row.time_zone, row.time_source, row.time_error_ms = "UTC", "arrival", 0
    for name in _MEASURED:
        setattr(row, name, None)
    row.version += 1
    row.field_versions = dict.fromkeys(row.field_versions, row.version)
    row.changed_at = now


def _erase_frames(session: Session, row: StimulationSession) -> None:
    erase_frames(session, SessionKey(row.device_id, row.sid))
    session.execute(
        update(SessionExtent)
        .where(SessionExtent.device_id == row.device_id, SessionExtent.sid == row.sid)
        .values(sealed=True)
    )
