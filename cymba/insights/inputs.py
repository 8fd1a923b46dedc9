"""Reading a person's sessions, diary and devices into what the days are built from."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.tables import DevicePresence, DeviceTenure
from cymba.diary.tables import DiaryEntry
from cymba.insights.days import Days, EntryFact, build_days
from cymba.insights.exposures import (
    DAY_STARTS_HOUR,
    EXPOSURES,
    Exposure,
    SessionFact,
    programme_exposures,
    programme_name,
)
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.stimulation.tables import StimulationSession


def load_days(
    session: Session, account_id: UUID
) -> tuple[Days, tuple[Exposure, ...], tuple[Outcome, ...]]:
    """The person's days, with the exposures and outcomes that they have; primaries always."""
    sessions = session_facts(session, account_id)
    entries = entry_facts(session, account_id)
    exposures = (*EXPOSURES, *programme_exposures(sessions))
    answered = {name for fact in entries for name in fact.items}
    outcomes = tuple(o for o in OUTCOMES.values() if o.primary or o.item in answered)
    days = build_days(
        sessions,
        entries,
        exposures=exposures,
        outcomes=outcomes,
        has_synced=_has_synced(session, account_id),
    )
    return days, exposures, outcomes


def session_facts(session: Session, account_id: UUID) -> list[SessionFact]:
    """Finished sessions that the person has neither deleted nor left out, oldest first."""
    query = (
        select(StimulationSession)
        .where(
            StimulationSession.account_id == account_id,
            StimulationSession.hidden_at.is_(None),
            StimulationSession.excluded.is_(False),
            StimulationSession.state != "open",
        )
        .order_by(StimulationSession.started_at, StimulationSession.id)
    )
    return [
        SessionFact(
            local_start=row.started_at.astimezone(ZoneInfo(row.time_zone)),
            started_at=row.started_at,
            ended_at=row.ended_at or row.started_at,
            stimulating_s=row.stimulating_s,
            charge_uc=row.delivered_charge_uc,
            amplitude_over_threshold=row.mean_amplitude_over_threshold,
            max_amplitude_ua=row.max_amplitude_ua,
            programme=programme_name(row.programme),
            id=row.id,
        )
        for row in session.scalars(query)
    ]


def entry_facts(session: Session, account_id: UUID) -> list[EntryFact]:
    query = (
        select(DiaryEntry)
        .where(DiaryEntry.account_id == account_id, DiaryEntry.deleted_at.is_(None))
        .order_by(DiaryEntry.felt_at, DiaryEntry.id)
    )
    return [
        EntryFact(
            row.felt_at.astimezone(ZoneInfo(row.time_zone)),
            row.felt_at,
            row.items,
            row.session_id,
        )
        for row in session.scalars(query)
    ]


def _has_synced(session: Session, account_id: UUID) -> Callable[[date], bool]:
    """Whether a day's sessions would all be here: every device then held has been heard from
    later, with nothing left in its memory or with a session of after that day."""
    zone = ZoneInfo(
        session.scalars(select(Account.time_zone).where(Account.id == account_id)).one()
    )
    latest_session = dict(
        session.execute(
            select(StimulationSession.device_id, func.max(StimulationSession.ended_at))
            .where(StimulationSession.account_id == account_id)
            .group_by(StimulationSession.device_id)
        ).all()
    )
    emptied = dict(
        session.execute(
            select(DevicePresence.device_id, DevicePresence.seen_at)
            .join(DeviceTenure, DeviceTenure.device_id == DevicePresence.device_id)
            .where(DeviceTenure.account_id == account_id, DevicePresence.queued_frames == 0)
        ).all()
    )
    tenures = session.scalars(
        select(DeviceTenure).where(DeviceTenure.account_id == account_id)
    ).all()
    held: list[tuple[datetime, datetime | None, datetime | None]] = []
    for tenure in tenures:
        known = [
            at
            for at in (latest_session.get(tenure.device_id), emptied.get(tenure.device_id))
            if at is not None
        ]
        held.append((tenure.claimed_at, tenure.released_at, max(known, default=None)))

    def has_synced(day: date) -> bool:
        begins = datetime.combine(day, time(DAY_STARTS_HOUR), tzinfo=zone)
        ends = datetime.combine(day + timedelta(days=1), time(DAY_STARTS_HOUR), tzinfo=zone)
        of_day = [
            through
            for claimed, released, through in held
            # A device claimed with sessions already in it counts for the days of those too.
            if released is None or released > begins
            if claimed < ends or through is not None
        ]
        return bool(of_day) and all(through is not None and through >= ends for through in of_day)

    return has_synced
