"""Reading a person's sessions, diary and devices into what the days are built from."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from functools import lru_cache, partial
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Text, Uuid, bindparam, cast, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.accounts.zones import borders
from cymba.database import Prepared, line_of
from cymba.devices.tables import Device
from cymba.diary.tables import DiaryEntry
from cymba.insights.days import Days, EntryFact, build_days, local_day
from cymba.insights.exposures import (
    DAY_STARTS_HOUR,
    Exposure,
    SessionFact,
    exposures_of,
    programme_name,
)
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.stimulation.session.shown import counted_written
from cymba.stimulation.session.uploads import CompleteDays, load_complete_days
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession

CYCLE_START = "cycle_start"


def load_days(
    session: Session, account_id: UUID
) -> tuple[Days, tuple[Exposure, ...], tuple[Outcome, ...]]:
    """The person's days, with the exposures and outcomes that they have; primaries always."""
    sessions = session_facts(session, account_id)
    entries = entry_facts(session, account_id)
    zone = session.scalars(select(Account.time_zone).where(Account.id == account_id)).one()
    complete_days = load_complete_days(line_of(session), account_id)
    exposures = exposures_of(sessions)
    answered = {name for fact in entries for name in fact.items}
    outcomes = tuple(o for o in OUTCOMES.values() if o.primary or o.item in answered)
    days = build_days(
        sessions,
        _since_a_device_was_held(entries, complete_days, ZoneInfo(zone)),
        exposures=exposures,
        outcomes=outcomes,
        have_synced=partial(_have_synced, complete_days, zone, _days_left_out(session, account_id)),
        cycle_starts=[local_day(fact.local) for fact in entries if CYCLE_START in fact.items],
    )
    return days, exposures, outcomes


def session_facts(session: Session, account_id: UUID) -> list[SessionFact]:
    """Finished sessions that the person has neither deleted nor left out, oldest first."""
    recorded = [
        SessionFact(
            local_start=started_at.astimezone(ZoneInfo(zone)),
            started_at=started_at,
            ended_at=ended_at or started_at,
            stimulating_s=stimulating_s,
            charge_uc=charge_uc,
            amplitude_over_threshold=over_threshold,
            max_amplitude_ua=max_amplitude_ua,
            native_level=native_level,
            model=model,
            programme=_programme_name(programme),
            id=id_,
        )
        for (
            id_, started_at, ended_at, zone, stimulating_s, charge_uc, over_threshold,
            max_amplitude_ua, native_level, programme, model,
        ) in _SESSIONS.rows(line_of(session), account_id=account_id)
    ]  # fmt: skip
    written = counted_written(session, account_id, WrittenSession.excluded.is_(False))
    of_devices = {row.device_id for row in written} - {None}
    named = select(Device.id, Device.model).where(Device.id.in_(of_devices))
    models = dict(session.execute(named).tuples().all()) if of_devices else {}
    facts = [_written_fact(row, row.model or models.get(row.device_id or "")) for row in written]
    return sorted([*recorded, *facts], key=lambda one: one.started_at)


def _written_fact(row: WrittenSession, model: str | None) -> SessionFact:
    return SessionFact(
        local_start=row.started_at.astimezone(ZoneInfo(row.time_zone)),
        started_at=row.started_at,
        ended_at=row.ended_at,
        stimulating_s=row.stimulating_s,
        max_amplitude_ua=row.amplitude_ua,
        native_level=row.mean_native_level,
        model=model,
        id=row.id,
    )


@lru_cache(maxsize=1_000)
def _programme_name(programme: str | None) -> str | None:
    """By its JSON: two years of sessions have a few programmes."""
    return None if programme is None else programme_name(orjson.loads(programme))


def entry_facts(session: Session, account_id: UUID) -> list[EntryFact]:
    return [
        EntryFact(felt_at.astimezone(ZoneInfo(zone)), felt_at, items, session_id)
        for felt_at, zone, items, session_id in _ENTRIES.rows(
            line_of(session), account_id=account_id
        )
    ]


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_SESSIONS = Prepared(
    select(
        StimulationSession.id,
        StimulationSession.started_at,
        StimulationSession.ended_at,
        StimulationSession.time_zone,
        StimulationSession.stimulating_s,
        StimulationSession.delivered_charge_uc,
        StimulationSession.mean_amplitude_over_threshold,
        StimulationSession.max_amplitude_ua,
        StimulationSession.mean_native_level,
        cast(StimulationSession.programme, Text),
        Device.model,
    )
    .join(Device, Device.id == StimulationSession.device_id)
    .where(
        StimulationSession.account_id == _ACCOUNT_ID,
        StimulationSession.deleted_at.is_(None),
        StimulationSession.excluded.is_(False),
        StimulationSession.state != "open",
    )
    .order_by(StimulationSession.started_at, StimulationSession.id)
)
_ENTRIES = Prepared(
    select(DiaryEntry.felt_at, DiaryEntry.time_zone, DiaryEntry.items, DiaryEntry.session_id)
    .where(
        DiaryEntry.account_id == _ACCOUNT_ID,
        DiaryEntry.deleted_at.is_(None),
        DiaryEntry.import_id.is_(None),  # whose hour or scale may be an assumption
    )
    .order_by(DiaryEntry.felt_at, DiaryEntry.id)
)


def _since_a_device_was_held(
    entries: Sequence[EntryFact], complete_days: CompleteDays, zone: ZoneInfo
) -> list[EntryFact]:
    """What was felt before any device says nothing of stimulation: one entry of years ago would
    only draw the days out. The day before the first counts, as its evening may come right before
    the first session."""
    if complete_days.since is None:
        return []
    first = local_day(complete_days.since.astimezone(zone)) - timedelta(days=1)
    return [fact for fact in entries if local_day(fact.local) >= first]


def _days_left_out(session: Session, account_id: UUID) -> set[date]:
    """The local days of sessions that the person leaves out: without another session such a day
    is not one without stimulation, but one of which nothing is known."""
    query = select(StimulationSession.started_at, StimulationSession.time_zone).where(
        StimulationSession.account_id == account_id,
        StimulationSession.deleted_at.is_(None),
        StimulationSession.excluded.is_(True),
    )
    rows = [(started_at, zone) for started_at, zone in session.execute(query)]
    written = counted_written(session, account_id, WrittenSession.excluded.is_(True))
    rows += [(row.started_at, row.time_zone) for row in written]
    return {local_day(started_at.astimezone(ZoneInfo(zone))) for started_at, zone in rows}


def _have_synced(
    complete_days: CompleteDays, zone: str, left_out: Collection[date], days: Sequence[date]
) -> list[bool]:
    """Of days that follow each other: whether each one's sessions would all be here."""
    begin = borders(zone, days[0], days[-1], begin_hour=DAY_STARTS_HOUR)
    complete: list[bool] = complete_days.among(days[0], begin).tolist()
    return [
        is_complete and day not in left_out for day, is_complete in zip(days, complete, strict=True)
    ]
