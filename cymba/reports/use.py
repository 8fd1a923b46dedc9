"""The sessions of some days, by the device or the kind of device that they were had with.

Figures of two models are never added up: their currents and levels mean different things.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import fmean
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.zones import borders, reach_anywhere
from cymba.database import line_of
from cymba.devices.catalogue import find_models, models_by_device
from cymba.devices.models import Model
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession

AT_ONCE = 500  # sessions in memory
UNSURE_MS = 60_000  # a start that may be off by more than a minute is told


@dataclass(slots=True)
class _Figures:
    """Of the sessions that have the figure; none of them: null."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float | None) -> None:
        if value is not None:
            self.values.append(value)

    @property
    def sum(self) -> float | None:
        return sum(self.values) if self.values else None

    @property
    def mean(self) -> float | None:
        return fmean(self.values) if self.values else None

    @property
    def least(self) -> float | None:
        return min(self.values, default=None)

    @property
    def most(self) -> float | None:
        return max(self.values, default=None)


@dataclass(slots=True)
class DeviceUse:
    device_id: str | None  # null: only the kind is known of what was written down
    model_name: str | None
    model: Model | None  # null: not known here any more
    sessions: int = 0
    sessions_written: int = 0  # of them, those that no device recorded
    incomplete: int = 0  # parts of their recording are missing
    doubtful: int = 0  # their frames contradict themselves
    unsure_times: int = 0
    end_reasons: Counter[str] = field(default_factory=Counter)
    seconds: _Figures = field(default_factory=_Figures)
    charge_uc: _Figures = field(default_factory=_Figures)
    amplitude_ua: _Figures = field(default_factory=_Figures)
    level: _Figures = field(default_factory=_Figures)

    @property
    def stimulating_min(self) -> float | None:
        return None if self.seconds.sum is None else self.seconds.sum / 60

    @property
    def delivered_charge_mc(self) -> float | None:
        return None if self.charge_uc.sum is None else self.charge_uc.sum / 1000

    def add(self, shown: Shown) -> None:
        self.sessions += 1
        self.sessions_written += shown["recorder"] != "device"
        self.incomplete += (shown["completeness"] or 1) < 1
        self.doubtful += bool(shown["doubts"])
        self.unsure_times += (shown["time_error_ms"] or 0) > UNSURE_MS
        if shown["end_reason"] is not None:
            self.end_reasons[shown["end_reason"]] += 1
        self.seconds.add(shown["stimulating_s"])
        self.charge_uc.add(shown["delivered_charge_uc"])
        self.amplitude_ua.add(shown["mean_amplitude_ua"])
        self.level.add(shown["mean_native_level"])


def use_by_device(
    session: Session, account_id: UUID, first_day: date, last_day: date
) -> list[DeviceUse]:
    """What was most used comes first."""
    found: dict[tuple[str | None, str | None], DeviceUse] = {}
    for shown in _sessions(session, account_id, first_day, last_day):
        key = shown["device_id"], None if shown["device_id"] else shown["model"]
        if key not in found:
            found[key] = DeviceUse(*key, model=None)
        found[key].add(shown)
    of_devices = models_by_device(line_of(session), [id_ for id_, _ in found if id_ is not None])
    of_kinds = find_models(session, {name for _, name in found if name is not None})
    for (device_id, name), use in found.items():
        use.model = of_devices.get(device_id or "") or of_kinds.get(name or "")
        use.model_name = use.model.name if use.model else name
    return sorted(found.values(), key=lambda use: (-use.sessions, use.device_id or ""))


def _sessions(
    session: Session, account_id: UUID, first_day: date, last_day: date
) -> Iterator[Shown]:
    """Those that began on one of these days, in the zone that the person was in."""
    ids = [
        id_
        for row in (StimulationSession, WrittenSession)
        for id_, started_at, zone in session.execute(_ids(row, account_id, first_day, last_day))
        if _is_within(started_at, zone, first_day, last_day)
    ]
    for begin in range(0, len(ids), AT_ONCE):
        yield from load_shown(session, account_id, ids[begin : begin + AT_ONCE])


def _ids(row: Any, account_id: UUID, first_day: date, last_day: date) -> Any:
    begin, end = reach_anywhere(first_day, last_day)
    query = select(row.id, row.started_at, row.time_zone).where(
        row.account_id == account_id,
        row.deleted_at.is_(None),
        row.started_at >= begin,
        row.started_at < end,
    )
    return query.where(row.shown_with.is_(None)) if row is WrittenSession else query


def _is_within(at: datetime, zone: str, first_day: date, last_day: date) -> bool:
    edges = borders(zone, first_day, last_day)
    return bool(edges[0] <= at.timestamp() < edges[-1])
