"""A session as its person sees it: what several witnesses recorded, shown as one.

Each field is the device's where the device has it, else the phone's, else the person's
(`told_by`). What no witness has is null.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Uuid, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from cymba.database import Prepared, array_of, line_of
from cymba.stimulation.session.summary import Summary
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.grouping import BEST_FIRST
from cymba.stimulation.written.sessions import to_confirm
from cymba.stimulation.written.tables import WrittenFigures, WrittenSession

Shown = dict[str, Any]
"""By name what the API shows of a session (`SessionSchema`)."""

SHOWN: tuple[InstrumentedAttribute[object], ...] = tuple(
    getattr(StimulationSession, name)
    for name in (
        "id",
        "device_id",
        "time_zone",
        *Summary.__dataclass_fields__,
        "note",
        "excluded",
        "version",
        "changed_at",
    )
)
"""The columns that an account sees of a recorded session, in this order."""

NAMES = tuple(column.key for column in SHOWN)

# What is taken from another witness where the session's own recorder does not have it.
_FROM_WITNESSES = (
    "mean_native_level",
    "max_native_level",
    "mean_amplitude_ua",
    "max_amplitude_ua",
    "site",
    "side",
    "note",
)
_OF_WRITTEN: Shown = dict.fromkeys(NAMES) | {
    "state": "ended",
    "frames_stored": 0,
    "sample_count": 0,
    "event_count": 0,
    "boots": (),
    "doubts": (),
}


_ACCOUNT_ID, _IDS = bindparam("account_id", type_=Uuid()), bindparam("ids", type_=ARRAY(Uuid()))
_SESSION, _WRITTEN = StimulationSession.__table__.c, WrittenSession.__table__.c
_BY_IDS = Prepared(
    select(*(column.expression for column in SHOWN)).where(
        _SESSION.account_id == _ACCOUNT_ID,
        _SESSION.id == any_(_IDS),
        _SESSION.hidden_at.is_(None),
    )
)
# Whether anything was written down of these sessions: of most there is nothing.
_IS_WRITTEN = Prepared(
    select(_WRITTEN.id)
    .where(
        _WRITTEN.account_id == _ACCOUNT_ID,
        or_(_WRITTEN.id == any_(_IDS), _WRITTEN.shown_with == any_(_IDS)),
    )
    .limit(1)
)


def witnesses_of(
    session: Session, account_id: UUID, ids: Collection[UUID]
) -> dict[UUID, list[WrittenSession]]:
    """By session, the written sessions that are shown as it, the best witness first."""
    query = select(WrittenSession).where(
        WrittenSession.account_id == account_id, WrittenSession.shown_with.in_(ids)
    )
    return by_session(session.scalars(query))


Witness = TypeVar("Witness", bound=WrittenFigures)


def by_session(witnesses: Iterable[Witness]) -> dict[UUID, list[Witness]]:
    """By the session that they are shown with, the best first."""
    found: dict[UUID, list[Witness]] = {}
    for one in sorted(witnesses, key=by_best):
        if one.shown_with is not None:
            found.setdefault(one.shown_with, []).append(one)
    return found


def by_best(row: WrittenFigures) -> tuple[int, datetime, UUID]:
    """Sorts the best witness first."""
    return BEST_FIRST.index(row.recorder), row.started_at, row.id


def recorded_shown(row: Mapping[str, Any], witnesses: Sequence[WrittenFigures] = ()) -> Shown:
    """`row`: by `NAMES`, of a session that a device recorded."""
    programme = row["programme"] or {}
    own = {**row, "recorder": "device", "model": None, "written": None, "shown_with": None}
    own |= {"site": programme.get("site"), "side": programme.get("side"), "to_confirm": []}
    return _as_one(own, witnesses)


def written_shown(row: WrittenFigures, witnesses: Sequence[WrittenFigures] = ()) -> Shown:
    given = {name: getattr(row, name) for name in NAMES if hasattr(row, name)}
    own = _OF_WRITTEN | given | _measured(row)
    own |= {"time_source": row.recorder, "recorder": row.recorder, "model": row.model}
    own |= {"site": row.site, "side": row.side, "written": row, "shown_with": row.shown_with}
    return _as_one(own | {"to_confirm": to_confirm(row)}, witnesses)


def _measured(row: WrittenFigures) -> Shown:
    return {
        "mean_native_level": row.mean_native_level,
        "max_native_level": row.max_native_level,
        "mean_amplitude_ua": row.amplitude_ua,
        "max_amplitude_ua": row.amplitude_ua,
    }


def _as_one(own: Shown, witnesses: Sequence[WrittenFigures]) -> Shown:
    told_by: dict[str, str] = {}
    for witness in witnesses:
        given = _measured(witness) | {n: getattr(witness, n) for n in ("site", "side", "note")}
        for name in _FROM_WITNESSES:
            if own[name] is None and given[name] is not None:
                own[name], told_by[name] = given[name], witness.recorder
    return own | {"told_by": told_by, "witnesses": list(witnesses)}


def counted_written(
    session: Session, account_id: UUID, *conditions: Any, latest: int | None = None
) -> Sequence[WrittenSession]:
    """The written sessions that count, as they have no better witness: the latest first."""
    row = WrittenSession
    counted = (row.deleted_at.is_(None), row.shown_with.is_(None))
    query = select(row).where(row.account_id == account_id, *counted, *conditions)
    return session.scalars(query.order_by(row.started_at.desc(), row.id.desc()).limit(latest)).all()


def load_shown(session: Session, account_id: UUID, ids: Sequence[UUID]) -> list[Shown]:
    """Those of these sessions that there are, in the order of the ids, whoever recorded them."""
    if not ids:
        return []
    line, wanted = line_of(session), array_of(ids)
    rows = _BY_IDS.rows(line, account_id=account_id, ids=wanted)
    recorded = {row[0]: dict(zip(NAMES, row, strict=True)) for row in rows}
    written: dict[UUID, WrittenSession] = {}
    witnesses: dict[UUID, list[WrittenSession]] = {}
    if _IS_WRITTEN.rows(line, account_id=account_id, ids=wanted):
        row = WrittenSession
        of_account = (row.account_id == account_id) & row.deleted_at.is_(None)
        found = session.scalars(select(row).where(of_account, row.id.in_(ids)))
        written = {one.id: one for one in found}
        witnesses = witnesses_of(session, account_id, ids)
    return [
        recorded_shown(recorded[id_], witnesses.get(id_, ()))
        if id_ in recorded  # whoever has two of an id has the device's
        else written_shown(written[id_], witnesses.get(id_, ()))
        for id_ in ids
        if id_ in recorded or id_ in written
    ]
