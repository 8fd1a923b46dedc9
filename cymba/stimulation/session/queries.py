"""An account's sessions, read and deleted by its app. Every query names the account."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.devices.anchors import load_clocks
from cymba.devices.claiming import load_tenures
from cymba.errors import NotFound, Rejected
from cymba.stimulation.archive.erasure import erase_frames
from cymba.stimulation.archive.reading import ReadFrame, SessionKey, load_frames
from cymba.stimulation.archive.recording import Reads
from cymba.stimulation.session import telemetry as channels_over_time
from cymba.stimulation.session.events import SessionEvent, session_events
from cymba.stimulation.session.made_up import reports_of, unknown_to, without_made_up
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.session.telemetry import Telemetry
from cymba.stimulation.session.timing import boots_of
from cymba.stimulation.tables import SessionExtent, StimulationSession
from cymba.stimulation.written.sessions import WrittenSessions
from cymba.stimulation.written.tables import WrittenSession
from cymba.stimulation.written.witnesses import recorded_witness, regroup
from cymba.voice import said

READINGS_AT_ONCE = 1_000_000
"""A session of more is read some channels at a time, so that memory holds no more of it."""

MOST_READINGS = 1_000_000
"""In one answer. A day of ten channels at 1 Hz has 864,000."""

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
        raise NotFound(said("There is no such {noun}.", noun="session"))
    return shown[0]


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
    frames = _reader_of(session, found)(lambda _: False, None)
    if not frames:
        return []
    return session_events(frames, load_clocks(session, found.device_id, boots_of(frames)))


def telemetry_of(
    session: Session,
    found: StimulationSession,
    *,
    channels: Collection[str] | None = None,
    points: int | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Telemetry:
    """`telemetry.telemetry` of a stored session."""
    of_session: set[str] = set()

    def is_wanted(name: str) -> bool:
        if channels is not None and name not in channels:
            return False
        of_session.add(name)
        return not is_large

    most = MOST_CHANNELS if channels is None else min(len(channels), MOST_CHANNELS)
    is_large = most * found.sample_count > READINGS_AT_ONCE
    read_frames = _reader_of(session, found)
    frames = read_frames(is_wanted, None)
    if not frames:
        return Telemetry(found.started_at, ())
    if len(of_session) > MOST_CHANNELS:
        raise _too_large(
            "/channels", said("more than {most} channels: name some", most=MOST_CHANNELS)
        )
    clocks = load_clocks(session, found.device_id, boots_of(frames))
    whole = Telemetry(found.started_at, ())
    at_once = max(1, READINGS_AT_ONCE // found.sample_count) if is_large else MOST_CHANNELS
    # What arrives between two parts of a large session is for the next request.
    latest = max(read.received_at for read in frames)
    ordered = sorted(of_session, key=channels_over_time.in_registrys_order)
    for first in range(0, len(ordered), at_once):
        some = ordered[first : first + at_once]
        if is_large:
            frames = read_frames(frozenset(some).__contains__, latest)
        part = channels_over_time.telemetry(
            frames, clocks, channels=some, points=points, begin=begin, end=end
        )
        whole = Telemetry(part.started_at, whole.series + part.series)
        if sum(len(one.values) for one in whole.series) > MOST_READINGS:
            detail = said(
                "more than {most} readings: give `channels`, `from`, `to` or less",
                most=MOST_READINGS,
            )
            raise _too_large("/points", detail)
    return whole


def _too_large(pointer: str, detail: str) -> Rejected:
    errors = [{"pointer": pointer, "detail": detail}]
    return Rejected("The answer would be too large.", code="validation", errors=errors)


def _reader_of(
    session: Session, found: StimulationSession
) -> Callable[[Reads, datetime | None], Sequence[ReadFrame]]:
    """Reads what its person gets of it (`Tenures.closed_at`): the channels that are asked for,
    received at a given time at the latest."""
    before = load_tenures(session, found.device_id).closed_at(found.started_at)
    reports = reports_of(session, found.device_id)
    unknown = unknown_to(reports)

    def read_frames(reads: Reads, latest: datetime | None) -> Sequence[ReadFrame]:
        def is_read(name: str) -> bool:
            return name not in unknown and reads(name)

        frames = load_frames(session, found.device_id, found.sid, reads=is_read, before=before)
        in_time = [read for read in frames if latest is None or read.received_at <= latest]
        return without_made_up(in_time, reports)

    return read_frames


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
    if locked:
        query = query.with_for_update(key_share=True)
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
