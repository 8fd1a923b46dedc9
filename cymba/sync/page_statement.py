"""One statement for a page of the feed: who asks, the changes, and what they are about.

PostgreSQL writes the JSON of sessions and entries, near all that there is, as the edge's schemas
say. All of the page is of one moment.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ClauseElement,
    ColumnElement,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from cymba.accounts.tables import Account, Change, Consent
from cymba.accounts.tokens import MAY_READ, Caller
from cymba.database import columns_of
from cymba.devices.tables import RedFlag, Screening
from cymba.diary.entries import entry_in_sql, is_marked
from cymba.diary.tables import DiaryEntry
from cymba.insights.tables import Experiment
from cymba.json_rows import ShownAs, array_as, json_of, materialized
from cymba.stimulation.session.shown_in_sql import recorded_in_sql
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession
from cymba.sync.tables import EPOCH, SyncHorizon

ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_LIMIT = bindparam("limit", type_=Integer())
_KINDS = bindparam("kinds", type_=ARRAY(Text()))
# Of these kinds changes are told only since they are in the feed: which of them there are.
_TOLD_LATER: dict[str, type[Experiment | Consent | Screening | RedFlag]] = {
    "experiment": Experiment,
    "consent": Consent,
    "screening": Screening,
    "red-flag": RedFlag,
}
_SESSION, _WRITTEN = StimulationSession.__table__.c, WrittenSession.__table__.c
_ENTRY = DiaryEntry.__table__.c


def page_statement(session_as: ShownAs, entry_as: ShownAs) -> ClauseElement:
    """Rows of a part's name and its JSON; of several of a part, with commas between."""
    head = materialized(_head(), "head")
    page = materialized(_page(exists(select(head.c.id))), "page")
    is_told = page.c.place <= _LIMIT
    wanted = materialized(
        select(
            _ids(page, is_told, "session").label("sessions"),
            _ids(page, is_told, "diary-entry").label("entries"),
        ),
        "wanted",
    )
    session_ids = _any_of(wanted.c.sessions)
    of_person = _WRITTEN.account_id == ACCOUNT_ID
    written = _of_changes(
        page,
        select(*_WRITTEN).where(
            of_person, _WRITTEN.id == session_ids, _WRITTEN.deleted_at.is_(None)
        ),
        _WRITTEN.id,
    )
    witnesses = select(*_WRITTEN).where(of_person, _WRITTEN.shown_with == session_ids)
    recorded = _of_changes(
        page,
        select(*recorded_in_sql(_SESSION, session_as)).where(
            _SESSION.account_id == ACCOUNT_ID,
            _SESSION.id == session_ids,
            _SESSION.hidden_at.is_(None),
        ),
        _SESSION.id,
    )
    entries = _entries(_any_of(wanted.c.entries), entry_as)
    of_account = (head.c.change_counter, head.c.epoch, head.c.pruned_through)
    numbers = (
        select(func.count()).select_from(page).scalar_subquery(),
        select(func.max(page.c.number)).where(is_told).scalar_subquery(),
    )
    change = func.json_build_array(page.c.number, page.c.kind, page.c.entity_id, page.c.deleted)
    is_written_here = page.c.kind == any_(literal_column("ARRAY['session', 'diary-entry']"))
    return union_all(
        _part(
            "head", func.json_build_array(array_as(Caller, head.c), *of_account, *numbers)
        ).select_from(head),
        _part("changes", _joined(cast(change, Text), page.c.number)).where(
            is_told, or_(page.c.deleted, ~is_written_here)
        ),
        _of_rows("recorded", recorded),
        _of_rows("written", written),
        _of_rows("witnesses", witnesses),
        _part("entries", _joined(entries.c.json, entries.c.id)).where(~entries.c.is_marked),
        _part("marked", _joined(entries.c.json, entries.c.id)).where(entries.c.is_marked),
        *(
            _part("there", literal_column(f"'{kind}'")).where(
                bindparam("begins", type_=Boolean()),
                exists().where(table.account_id == ACCOUNT_ID),
            )
            for kind, table in _TOLD_LATER.items()
        ),
    )


def _head() -> Select[*tuple[Any, ...]]:
    """No row where the account is gone, or its sign-in has ended."""
    account = Account.__table__.c
    return (
        select(
            *columns_of(account, Caller),
            account.change_counter,
            EPOCH.label("epoch"),
            func.coalesce(SyncHorizon.pruned_through, 0).label("pruned_through"),
        )
        .select_from(Account)
        .outerjoin(SyncHorizon, SyncHorizon.account_id == Account.id)
        .where(
            account.id == ACCOUNT_ID,
            MAY_READ,
        )
    )


def _page(is_signed_in: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The changes, and one more if there is."""
    return (
        select(
            Change.number,
            Change.kind,
            Change.entity_id,
            Change.deleted,
            func.row_number().over(order_by=Change.number).label("place"),
        )
        .where(
            is_signed_in,
            Change.account_id == ACCOUNT_ID,
            Change.number > bindparam("after", type_=BigInteger()),
            or_(
                Change.number > bindparam("seen_to", type_=BigInteger()),
                Change.kind == any_(bindparam("left_out", type_=ARRAY(Text()))),
            ),
            or_(_KINDS.is_(None), Change.kind == any_(_KINDS)),
        )
        .order_by(Change.number)
        .limit(_LIMIT + literal_column("1"))
    )


def _of_changes(
    page: Any, sessions: Select[*tuple[Any, ...]], id_: ColumnElement[Any]
) -> Select[*tuple[Any, ...]]:
    """In the order of their changes."""
    is_of_change = page.c.entity_id == cast(id_, Text)
    is_of_session = page.c.kind == literal_column("'session'")
    return sessions.join(page, and_(is_of_session, is_of_change)).order_by(page.c.number)


def _ids(page: Any, is_told: ColumnElement[bool], kind: str) -> ColumnElement[Any]:
    of_kind = page.c.kind == literal_column(f"'{kind}'")
    found = select(page.c.entity_id).where(is_told, of_kind, ~page.c.deleted).scalar_subquery()
    return cast(func.array(found), ARRAY(Uuid()))


def _any_of(ids: ColumnElement[Any]) -> ColumnElement[Any]:
    return any_(cast(select(ids).scalar_subquery(), ARRAY(Uuid())))


def _entries(ids: Any, entry_as: ShownAs) -> Any:
    entry = (
        select(*_ENTRY)
        .where(_ENTRY.account_id == ACCOUNT_ID, _ENTRY.id == ids, _ENTRY.deleted_at.is_(None))
        .subquery("entry")
    )
    shown = select(*entry_in_sql(entry.c, entry_as)).correlate(entry).lateral("shown")
    return materialized(
        select(is_marked(entry.c).label("is_marked"), json_of(shown), entry.c.id).select_from(
            entry.join(shown, true())
        ),
        "entries",
    )


_COMMA: ColumnElement[str] = literal_column("','")


def _joined(json: Any, by: Any) -> ColumnElement[str]:
    return func.string_agg(json, aggregate_order_by(_COMMA, by))


def _of_rows(name: str, rows: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """In their order, which an aggregate of one subquery keeps."""
    return _part(name, func.string_agg(json_of(rows.subquery(name)), _COMMA))


def _part(name: str, json: Any) -> Select[*tuple[Any, ...]]:
    return select(literal_column(f"CAST('{name}' AS text)").label("part"), cast(json, Text))
