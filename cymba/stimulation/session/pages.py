"""Pages of an account's sessions, whoever recorded them: the query that every app starts with.

One prepared statement reads who asks, the page, and the devices that may hold more. PostgreSQL
writes the JSON of sessions that a device alone recorded, near all there are, as the edge's schema
says. What several witnesses recorded, or a person wrote down, is joined here (`shown`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from cymba.accounts.tokens import MAY_READ
from cymba.database import Prepared
from cymba.devices.health import BEHIND, Behind, devices_behind
from cymba.json_rows import ShownAs, json_of, materialized
from cymba.stimulation.session.shown import Shown
from cymba.stimulation.session.shown_in_sql import read_written, recorded_in_sql, with_witnesses
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_LAST_ID = UUID(int=2**128 - 1)
_SESSION, _WRITTEN = StimulationSession.__table__.c, WrittenSession.__table__.c
_ACCOUNT_ID = bindparam("account_id", type_=Uuid())


class PageKey(NamedTuple):
    """The last session of a page: the next begins after it."""

    started_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Of `items` those that are text are JSON already."""

    items: Sequence[Shown | str]
    next_key: PageKey | None  # null on the last page
    behind: Sequence[Behind]


class SessionPages:
    def __init__(self, shown_as: ShownAs) -> None:
        self.statement = Prepared(_statement(shown_as))

    def read(
        self,
        line: psycopg.Connection[Any],
        account_id: UUID,
        family_id: UUID | None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
        device_id: str | None = None,
        after: PageKey | None = None,
        limit: int = 50,
    ) -> SessionPage | None:
        """Sessions that started from `begin` to before `end`, the latest first, each once. None if
        the sign-in `family_id` of the account has ended; without it, the caller has checked."""
        rows = self.statement.rows(
            line,
            account_id=account_id,
            family_id=family_id,
            begin=begin or _EARLIEST,
            end=end or _LATEST,
            device_id=device_id,
            after_at=after.started_at if after else _LATEST,
            after_id=after.id if after else _LAST_ID,
            limit=limit + 1,
        )
        parts: dict[str, list[Any]] = {"behind": []}
        for part, *row in rows:
            parts.setdefault(part, []).append(row)
        if "signed in" not in parts:
            return None
        recorded, written = parts.get("recorded", []), parts.get("written", [])
        found = [PageKey(at, id_) for at, id_, _ in recorded + written]
        keys = (sorted(found, reverse=True) if written else found)[:limit]
        items: Sequence[Shown | str] = [text for _, _, text in recorded[:limit]]
        if written or "witness" in parts:
            items = with_witnesses(
                [id_ for _, id_ in keys],
                {id_: text for _, id_, text in recorded},
                {id_: read_written(text) for _, id_, text in written},
                [read_written(text) for _, _, text in parts.get("witness", [])],
            )
        behind = [(*orjson.loads(text), drained_at) for drained_at, _, text in parts["behind"]]
        return SessionPage(items, keys[-1] if len(found) > limit else None, devices_behind(behind))


def _statement(shown_as: ShownAs) -> ClauseElement:
    signed_in = materialized(select(MAY_READ.label("yes")), "signed_in")
    is_signed_in = select(signed_in.c.yes).scalar_subquery()
    page = _page_of(_SESSION, is_signed_in).where(_SESSION.hidden_at.is_(None)).subquery("page")
    shown = select(*recorded_in_sql(page.c, shown_as)).correlate(page).lateral("shown")
    recorded = materialized(
        select(page.c.started_at, page.c.id, json_of(shown)).select_from(page.join(shown, true())),
        "recorded",
    )
    counted = (_WRITTEN.deleted_at.is_(None), _WRITTEN.shown_with.is_(None))
    written = materialized(_page_of(_WRITTEN, is_signed_in).where(*counted), "written")
    ids = union_all(select(recorded.c.id), select(written.c.id)).scalar_subquery()
    witness = WrittenSession.__table__.alias("witness")
    behind = BEHIND.subquery("behind")
    of_device = func.json_build_array(behind.c.device_id, behind.c.online, behind.c.queued_frames)
    return union_all(
        _part("signed in", null(), null(), null()).where(is_signed_in),
        _part("recorded", *recorded.c),
        _part("written", written.c.started_at, written.c.id, json_of(written)),
        _part("witness", null(), witness.c.shown_with, json_of(witness)).where(
            witness.c.account_id == _ACCOUNT_ID,
            witness.c.shown_with == any_(func.array(ids)),
        ),
        _part("behind", behind.c.drained_at, null(), cast(of_device, Text)),
    )


def _page_of(row: Any, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    started_at, id_, device_id = row.started_at, row.id, cast(bindparam("device_id"), Text)
    after_at = bindparam("after_at", type_=started_at.type)
    return (
        select(*row)
        .where(
            *conditions,
            row.account_id == _ACCOUNT_ID,
            started_at >= bindparam("begin", type_=started_at.type),
            started_at < bindparam("end", type_=started_at.type),
            tuple_(started_at, id_) < tuple_(after_at, bindparam("after_id", type_=Uuid())),
            or_(device_id.is_(None), row.device_id == device_id),
        )
        .order_by(started_at.desc(), id_.desc())
        .limit(bindparam("limit", type_=Integer()))
    )


def _part(name: str, at: Any, id_: Any, text: Any) -> Select[*tuple[Any, ...]]:
    return select(
        literal_column(f"CAST('{name}' AS text)").label("part"),
        cast(at, DateTime(timezone=True)).label("at"),
        cast(id_, Uuid()).label("id"),
        cast(text, Text).label("json"),
    )
