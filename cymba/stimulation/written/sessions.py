"""Sessions written down by a phone or by the person: what is valid, and how they are kept.

They are records and start nothing, so no lock and no red flag holds them back.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from cymba.accounts.merging import Mergeable
from cymba.accounts.written_fields import (
    LONG_AGO,
    Fields,
    moment_problem,
    note_problem,
    one_of_problem,
    text_problem,
    uuid_problem,
    zone_problem,
)
from cymba.database import line_of
from cymba.devices.catalogue import find_model, model_by_device
from cymba.devices.holders import ever_held
from cymba.devices.messages import Side, Site
from cymba.errors import Rejected
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenFigures, WrittenSession
from cymba.stimulation.written.witnesses import announce_lead, lock_alone, regroup, written_witness
from cymba.voice import said

KIND: Final = "session"
RECORDERS = ("phone", "person")
SITES, SIDES = get_args(Site), get_args(Side)
LONGEST_S = 86_400
USUALLY_BELOW_S = 4 * 3_600  # longer is kept, and asked about
MAX_LEVEL, MAX_AMPLITUDE_UA = 1_000, 60_000
MAX_LEVEL_CHANGES = 500
MOST_OF_A_DAY = 100
_HALF_A_DAY = timedelta(hours=12)


class WrittenSessions(Mergeable[WrittenSession]):
    kind = KIND
    noun = "session"
    required = frozenset({"recorder", "started_at", "time_zone", "duration_s"})
    table = WrittenSession

    def is_field(self, name: str) -> bool:
        return name in _CHECKS

    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        if problem := _CHECKS[name](value, now):
            yield "", problem
        elif name == "level_changes":
            yield from _changes_problems(value)

    def values(self, row: WrittenSession) -> dict[str, Any]:
        return {name: getattr(row, name) for name in _CHECKS}

    def fill(self, row: WrittenSession, fields: Fields) -> None:
        for name in _CHECKS:
            setattr(row, name, fields.get(name))
        row.excluded = bool(fields.get("excluded"))

    def empty(self, row: WrittenSession) -> None:
        row.note = row.same_as = row.shown_with = None
        row.native_level = row.level_changes = row.amplitude_ua = row.site = row.side = None

    def check_whole(self, session: Session, account_id: UUID, id_: UUID, fields: Fields) -> None:
        errors = list(_misfits(session, account_id, fields))
        if errors:
            raise _refused(errors)
        _check_id(session, account_id, id_)
        _check_count(session, account_id, id_, fields["started_at"])

    def before_write(self, session: Session, account_id: UUID) -> None:
        lock_alone(session, account_id)

    def after_write(
        self, session: Session, row: WrittenSession, before: Fields, now: datetime
    ) -> None:
        del now
        announce_lead(session, row)
        changed = [written_witness(row)]
        if before:
            was = WrittenSession(id=row.id)
            self.fill(was, before)
            changed.append(written_witness(was))
        regroup(session, row.account_id, changed)


def to_confirm(row: WrittenFigures) -> list[str]:
    """The fields that the app should ask to confirm: they are stored, but likely a slip."""
    is_long_ago = row.started_at < row.written_at - LONG_AGO
    asked = {"started_at": is_long_ago, "duration_s": row.duration_s > USUALLY_BELOW_S}
    return [name for name, is_asked in asked.items() if is_asked]


def _whole(value: Any, low: int, high: int) -> str | None:
    fits = type(value) is int and low <= value <= high
    return None if fits else said("must be a whole number from {low} to {high}", low=low, high=high)


def _level(value: Any) -> str | None:
    return _whole(value, 0, MAX_LEVEL)


def _list(value: Any) -> str | None:
    fits = isinstance(value, list) and 1 <= len(value) <= MAX_LEVEL_CHANGES
    return None if fits else said("must be a list of 1 to {most} changes", most=MAX_LEVEL_CHANGES)


def _constant_level(value: Any) -> str | None:
    return said("must be above 0; leave out what is not known") if value == 0 else _level(value)


_CHECKS: dict[str, Callable[[Any, datetime], str | None]] = {
    "recorder": lambda value, _: one_of_problem(value, RECORDERS),
    # What these two name is looked up in `check_whole`.
    "device_id": lambda value, _: text_problem(value),
    "model": lambda value, _: text_problem(value),
    "started_at": moment_problem,
    "time_zone": lambda value, _: zone_problem(value),
    "duration_s": lambda value, _: _whole(value, 1, LONGEST_S),
    "native_level": lambda value, _: _constant_level(value),
    "level_changes": lambda value, _: _list(value),
    "amplitude_ua": lambda value, _: _whole(value, 1, MAX_AMPLITUDE_UA),
    "site": lambda value, _: one_of_problem(value, SITES),
    "side": lambda value, _: one_of_problem(value, SIDES),
    "note": lambda value, _: note_problem(value),
    "excluded": lambda value, _: None if isinstance(value, bool) else said("must be true or false"),
    "same_as": lambda value, _: uuid_problem(value),
}


def _changes_problems(changes: Sequence[Any]) -> Iterator[tuple[str, str]]:
    last = -1
    for i, change in enumerate(changes):
        if not isinstance(change, dict) or change.keys() != {"offset_s", "native_level"}:
            yield f"/{i}", "must have `offset_s` and `native_level`, and nothing else"
            continue
        offset = change["offset_s"]
        if problem := _whole(offset, 0, LONGEST_S) or _level(change["native_level"]):
            yield f"/{i}", problem
        elif offset <= last or (i == 0 and offset != 0):
            yield f"/{i}/offset_s", "must begin with 0 and rise"
        else:
            last = offset


def _misfits(session: Session, account_id: UUID, fields: Fields) -> Iterator[tuple[str, str]]:
    device_id, name = fields.get("device_id"), fields.get("model")
    if (device_id is None) == (name is None):
        yield "/device_id", "give either the device or its model"
        return
    if device_id is None:
        model = find_model(session, str(name))
        if model is None:
            yield "/model", "is not a model that is known here"
            return
    elif ever_held(session, account_id, device_id):
        model = model_by_device(line_of(session), device_id)
    else:
        yield "/device_id", "is not a device that you hold or held"
        return
    changes = fields.get("level_changes")
    if changes is not None:
        if fields["recorder"] != "phone":
            yield "/level_changes", "only a phone's timer records them"
        if fields.get("native_level") is not None:
            yield "/native_level", "is given by `level_changes` already"
        if changes[-1]["offset_s"] >= fields["duration_s"]:
            yield "/level_changes", "go on after the session's end"
    levels = [change["native_level"] for change in changes or ()]
    level = max([fields.get("native_level") or 0, *levels])
    if model is not None and model.native_levels is not None and level > model.native_levels:
        yield (
            "/native_level",
            said(
                "{name} has no level above {native_levels}",
                name=model.name,
                native_levels=model.native_levels,
            ),
        )
    if model is not None and model.reports.current == "by_level" and fields.get("amplitude_ua"):
        yield (
            "/amplitude_ua",
            said("{name} tells a level and no current: give `native_level`", name=model.name),
        )


def _check_id(session: Session, account_id: UUID, id_: UUID) -> None:
    """A session that the account's device recorded keeps its id; of others' ids nothing is said."""
    recorded = exists().where(
        StimulationSession.id == id_, StimulationSession.account_id == account_id
    )
    if session.scalar(select(recorded)):
        raise Rejected(
            "This is the id of a session that a device recorded. Write a session with an id of "
            "its own; `same_as` joins the two.",
            code="recorded-session",
        )


def _check_count(session: Session, account_id: UUID, id_: UUID, started_at: datetime) -> None:
    row = WrittenSession
    of_that_day = session.scalar(
        select(func.count()).where(
            row.account_id == account_id,
            row.id != id_,
            row.deleted_at.is_(None),
            row.started_at > started_at - _HALF_A_DAY,
            row.started_at < started_at + _HALF_A_DAY,
        )
    )
    if (of_that_day or 0) >= MOST_OF_A_DAY:
        raise _refused(
            [
                (
                    "/started_at",
                    said("there are {most} sessions around this time", most=MOST_OF_A_DAY),
                )
            ]
        )


def _refused(errors: Sequence[tuple[str, str]]) -> Rejected:
    return Rejected(
        "The session does not fit.",
        code="validation",
        errors=[{"pointer": pointer, "detail": detail} for pointer, detail in errors],
    )
