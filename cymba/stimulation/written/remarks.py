"""What a person notes of a device, a model or a day, apart from sessions.

`electrode_changed`: from then on the device's impedance is that of a new electrode. `no_session`:
there was none on that day with a stimulator that reports nothing by itself. `put_away`: a model
that was used without a device of Cymba's is no longer used.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.accounts.merging import Mergeable
from cymba.accounts.written_fields import (
    Fields,
    moment_problem,
    note_problem,
    one_of_problem,
    text_problem,
    zone_problem,
)
from cymba.devices.catalogue import find_model
from cymba.devices.holders import ever_held, holders_of
from cymba.errors import Rejected
from cymba.stimulation.written.tables import Remark

KIND: Final = "remark"
NAMES = ("what", "said_of", "time_zone", "device_id", "model", "note")
# By what is said: what it is said of.
OF = {"electrode_changed": "device_id", "no_session": None, "put_away": "model"}


class Remarks(Mergeable[Remark]):
    kind = KIND
    noun = "remark"
    required = frozenset({"what", "said_of", "time_zone"})
    table = Remark

    def is_field(self, name: str) -> bool:
        return name in NAMES

    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        if problem := _problem(name, value, now):
            yield "", problem

    def values(self, row: Remark) -> dict[str, Any]:
        return {name: getattr(row, name) for name in NAMES}

    def fill(self, row: Remark, fields: Fields) -> None:
        for name in NAMES:
            setattr(row, name, fields.get(name))

    def empty(self, row: Remark) -> None:
        row.note = None

    def check_whole(self, session: Session, account_id: UUID, id_: UUID, fields: Fields) -> None:
        del id_
        subject = OF[fields["what"]]
        errors = [
            {"pointer": f"/{name}", "detail": detail}
            for name in ("device_id", "model")
            if (detail := _subject_problem(session, account_id, name, subject, fields.get(name)))
        ]
        if errors:
            raise Rejected("The remark does not fit.", code="validation", errors=errors)

    def after_write(self, session: Session, row: Remark, before: Fields, now: datetime) -> None:
        del now
        devices = {one for one in (row.device_id, before.get("device_id")) if one is not None}
        holders = holders_of(session, devices) if devices else {}
        for device_id, holder in sorted(holders.items()):
            if holder == str(row.account_id):
                announce(session, row.account_id, "device", device_id)


class RemarkPage(NamedTuple):
    remarks: Sequence[Remark]
    next_after: tuple[datetime, UUID] | None


def page(
    session: Session, account_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> RemarkPage:
    """The latest first; `after` is the last page's `next_after`."""
    query = select(Remark).where(Remark.account_id == account_id, Remark.deleted_at.is_(None))
    if after is not None:
        query = query.where(tuple_(Remark.said_of, Remark.id) < after)
    query = query.order_by(Remark.said_of.desc(), Remark.id.desc()).limit(limit + 1)
    rows = session.scalars(query).all()
    remarks = rows[:limit]
    last = (remarks[-1].said_of, remarks[-1].id) if len(rows) > limit else None
    return RemarkPage(remarks, last)


def _subject_problem(
    session: Session, account_id: UUID, name: str, subject: str | None, value: Any
) -> str | None:
    if name != subject:
        return None if value is None else "is not what this remark is about"
    if value is None:
        return "is required"
    if name == "model":
        return None if find_model(session, value) else "is not a model that is known here"
    is_own = ever_held(session, account_id, value)
    return None if is_own else "is not a device that you hold or held"


def _problem(name: str, value: Any, now: datetime) -> str | None:
    match name:
        case "what":
            return one_of_problem(value, OF)
        case "said_of":
            return moment_problem(value, now)
        case "time_zone":
            return zone_problem(value)
        case "note":
            return note_problem(value)
        case _:  # device_id, model: looked up in `check_whole`
            return text_problem(value)
