"""The rows that resources are made of, some at a time, the newest first. Every query names the
account.

A `Source` gives rows of one kind. Of sessions and diary entries there are thousands, so they are
read by their key; of the others there are few, and all are read at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from cymba.accounts.consent import history
from cymba.accounts.tables import Account, Consent
from cymba.database import line_of
from cymba.devices.catalogue import find_models
from cymba.devices.models import Model
from cymba.devices.presence import KNOWN_TO_HOLDER
from cymba.devices.tables import Device, DevicePresence, DeviceTenure
from cymba.diary.entries import read_entries
from cymba.diary.tables import DiaryEntry
from cymba.fhir.dates import DateTest, all_in_sql
from cymba.fhir.parts import device_id_shown
from cymba.stimulation.session.shown import load_shown
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession

Part = Literal["account", "sessions", "diary", "own"]
"""What opens a resource: a share's scope of that name; any share (`account`); or the person's own
token alone (`own`)."""
ALL_PARTS: Final = frozenset[Part]({"account", "sessions", "diary", "own"})


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """Whose record it is. `is_own`: the person reads it, and no share."""

    account_id: UUID
    is_own: bool


class RecordRow(NamedTuple):
    """`at` and `id` are its place; `value` is what a mapping reads."""

    at: datetime
    id: str
    ended_at: datetime | None
    updated_at: datetime | None
    value: Any


class RowKey(NamedTuple):
    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class RowsWanted:
    """`ids`: of rows; None: all."""

    ids: frozenset[str] | None = None
    at: tuple[DateTest, ...] = ()
    updated: tuple[DateTest, ...] = ()

    def only(self, row_id: str) -> "RowsWanted":
        """What is wanted of this row."""
        is_wanted = self.ids is None or row_id in self.ids
        return replace(self, ids=frozenset({row_id} if is_wanted else ()))


class RowBatch(NamedTuple):
    rows: list[RecordRow]
    next_key: RowKey | None  # None: no more follow


class RowsAsked(NamedTuple):
    """At most `limit` rows, those after a key."""

    owner: RecordOwner
    wanted: RowsWanted
    after: RowKey | None
    limit: int


Read = Callable[[Session, RowsAsked], RowBatch]


@dataclass(frozen=True, slots=True)
class Source:
    """`read` gives rows, the newest first."""

    name: str
    part: Part
    read: Read


def _sessions(session: Session, ask: RowsAsked) -> RowBatch:
    """Sessions as they are shown and counted, whoever recorded them."""
    row, by_hand = StimulationSession, WrittenSession
    until = by_hand.started_at + func.make_interval(0, 0, 0, 0, 0, 0, by_hand.duration_s)
    counted = by_hand.deleted_at.is_(None) & by_hand.shown_with.is_(None)
    found = union_all(
        _placed(row, row.started_at, row.ended_at, ask).where(row.deleted_at.is_(None)),
        _placed(by_hand, by_hand.started_at, until, ask).where(counted),
    ).subquery()
    order = select(found).order_by(found.c.at.desc(), found.c.id.desc()).limit(ask.limit)
    places = session.execute(order).all()
    ids = [place.id for place in places]
    shown = {one["id"]: one for one in load_shown(session, ask.owner.account_id, ids)}
    return _batch(places, shown, ask.limit)


def _entries(session: Session, ask: RowsAsked) -> RowBatch:
    row = DiaryEntry
    # One of another app is no observation: its hour or its scale may be an assumption.
    is_own = row.deleted_at.is_(None) & row.import_id.is_(None)
    query = _placed(row, row.felt_at, row.felt_at, ask).where(is_own)
    places = session.execute(query).all()
    ids = [place.id for place in places]
    read = read_entries(line_of(session), ask.owner.account_id, ids)
    return _batch(places, {one.id: one for one in read}, ask.limit)


def _batch(places: Sequence[Any], values: Mapping[UUID, Any], limit: int) -> RowBatch:
    """A place without a value was deleted between two statements."""
    rows = [
        RecordRow(one.at, str(one.id), one.ended_at, one.updated_at, values[one.id])
        for one in places
        if one.id in values
    ]
    return RowBatch(
        rows, RowKey(places[-1].at, str(places[-1].id)) if len(places) == limit else None
    )


def _placed(
    row: type[StimulationSession | WrittenSession | DiaryEntry],
    began_at: Any,
    ended_at: Any,
    ask: RowsAsked,
) -> Select[Any]:
    query = select(
        began_at.label("at"),
        row.id.label("id"),
        ended_at.label("ended_at"),
        row.changed_at.label("updated_at"),
    ).where(
        row.account_id == ask.owner.account_id,
        all_in_sql(ask.wanted.at, began_at, ended_at),
        all_in_sql(ask.wanted.updated, row.changed_at, row.changed_at),
    )
    if ask.wanted.ids is not None:
        query = query.where(row.id.in_(_uuids(ask.wanted.ids)))
    if ask.after is not None:
        key = tuple_(literal(ask.after.at, began_at.type), literal(UUID(ask.after.id)))
        query = query.where(tuple_(began_at, row.id) < key)
    return query.order_by(began_at.desc(), row.id.desc()).limit(ask.limit)


def _uuids(ids: Iterable[str]) -> list[UUID]:
    found = []
    for one in ids:
        try:
            found.append(UUID(one))
        except ValueError:
            continue  # an id of another kind of row
    return [one for one in found if str(one) in ids]  # one spelling names it


def listed(rows_of: Callable[[Session, RecordOwner], Iterable[RecordRow]]) -> Read:
    """Reads rows of which there are few."""

    def read(session: Session, ask: RowsAsked) -> RowBatch:
        wanted = ask.wanted
        rows = [
            row
            for row in rows_of(session, ask.owner)
            if (wanted.ids is None or row.id in wanted.ids)
            and all(test.holds(row.at, row.ended_at) for test in wanted.at)
            and all(_updated(row, test) for test in wanted.updated)
            and (ask.after is None or (row.at, row.id) < ask.after)
        ]
        rows = sorted(rows, key=lambda row: (row.at, row.id), reverse=True)
        some = rows[: ask.limit]
        return RowBatch(some, RowKey(some[-1].at, some[-1].id) if len(rows) > ask.limit else None)

    return read


def _updated(row: RecordRow, test: DateTest) -> bool:
    # What does not know when it last changed is given whatever is asked: nothing is missed.
    return row.updated_at is None or test.holds(row.updated_at, row.updated_at)


def _account(session: Session, owner: RecordOwner) -> list[RecordRow]:
    account = session.get_one(Account, owner.account_id)
    return [RecordRow(account.created_at, str(account.id), account.created_at, None, account)]


class KnownDevice(NamedTuple):
    """A device that the account holds or held."""

    device: Device
    model: Model
    is_held: bool
    name: str  # the person's own
    firmware: str | None  # as it last said, while it is held
    claimed_at: datetime


def known_devices(session: Session, owner: RecordOwner) -> Sequence[KnownDevice]:
    """Each once, by its latest tenure."""
    query = (
        select(DeviceTenure, Device, DevicePresence.firmware)
        .join(Device, Device.id == DeviceTenure.device_id)
        .outerjoin(DevicePresence, KNOWN_TO_HOLDER & DeviceTenure.released_at.is_(None))
        .where(DeviceTenure.account_id == owner.account_id)
        .order_by(DeviceTenure.claimed_at)
    )
    rows = {
        device.id: (tenure, device, firmware) for tenure, device, firmware in session.execute(query)
    }
    models = find_models(session, {device.model for _, device, _ in rows.values()})
    return [
        KnownDevice(
            device,
            models[device.model],
            tenure.released_at is None,
            tenure.name,
            firmware,
            tenure.claimed_at,
        )
        for tenure, device, firmware in rows.values()
    ]


def _devices(session: Session, owner: RecordOwner) -> list[RecordRow]:
    return [
        RecordRow(one.claimed_at, device_id_shown(one.device.id), None, None, one)
        for one in known_devices(session, owner)
    ]


def _tenures(session: Session, owner: RecordOwner) -> list[RecordRow]:
    query = select(DeviceTenure).where(DeviceTenure.account_id == owner.account_id)
    return [
        RecordRow(tenure.claimed_at, str(tenure.id), tenure.released_at, None, tenure)
        for tenure in session.scalars(query)
    ]


def _consents(session: Session, owner: RecordOwner) -> list[RecordRow]:
    def row_of(one: Consent) -> RecordRow:
        changed_at = one.withdrawn_at or one.given_at
        return RecordRow(one.given_at, str(one.id), one.given_at, changed_at, one)

    return [row_of(one) for one in history(session, owner.account_id)]


ACCOUNT = Source("account", "account", listed(_account))
SESSIONS = Source("session", "sessions", _sessions)
DEVICES = Source("device", "sessions", listed(_devices))
TENURES = Source("tenure", "sessions", listed(_tenures))
ENTRIES = Source("entry", "diary", _entries)
CONSENTS = Source("consent", "own", listed(_consents))
