"""The change feed: an account's changes since a cursor, in the order of commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, get_args
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import (
    BigInteger,
    Integer,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    inspect,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.changes import Kind
from cymba.accounts.merging import Row
from cymba.accounts.tables import Account, Change, Consent
from cymba.accounts.tokens import IS_SIGNED_IN
from cymba.database import Prepared, line_of
from cymba.devices.held_devices import HeldDevice, held_devices
from cymba.devices.screening import latest_screenings, standing_red_flags
from cymba.devices.tables import RedFlag, Screening
from cymba.diary.entries import read_entries
from cymba.diary.tables import ReadEntry, Reminder
from cymba.errors import Gone
from cymba.insights import findings
from cymba.insights.experiments import trials as experiments
from cymba.insights.tables import Experiment, Finding
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.written.tables import Remark
from cymba.sync.tables import SyncEpoch, SyncHorizon, SyncOperation

NEVER_RESTORED = UUID(int=0)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Passed:
    """While a newer version replaces this one, some processes write kinds that others do not know.
    One that does not know them passes their changes, so that the app need not wait, and the
    position says so. Whoever knows them reads them then: none is lost.
    """

    after: int  # what was passed has a higher number
    known: tuple[str, ...]  # the kinds of which nothing was passed
    read_to: int  # of what was passed, if a page did not hold all


@dataclass(frozen=True, slots=True)
class Position:
    """How far an app has read: the number of the last change, and its epoch.

    Tombstones up to `gone_before` were pruned before the app's first read. So it misses none of
    them, even if its first read takes many pages to pass their numbers.

    It is of these `kinds` alone; None: it is from before experiments, consents, screenings and red
    flags were in the feed.
    """

    epoch: UUID
    number: int
    gone_before: int = 0
    kinds: tuple[Kind, ...] | None = KINDS
    passed: Passed | None = None

    @property
    def left_out(self) -> list[str]:
        """The kinds of which changes up to `number` are still to be read."""
        return [] if self.passed is None else sorted(set(KINDS).difference(self.passed.known))


@dataclass(frozen=True, slots=True)
class Tombstone:
    kind: str
    entity_id: str


@dataclass(slots=True)
class Feed:
    position: Position
    more: bool
    sessions: Sequence[Shown] = ()
    diary_entries: Sequence[ReadEntry] = ()
    devices: Sequence[HeldDevice] = ()
    reminders: Sequence[Reminder] = ()
    remarks: Sequence[Remark] = ()
    findings: Sequence[Finding] = ()
    experiments: Sequence[Experiment] = ()
    consents: Sequence[Consent] = ()
    screenings: Sequence[Screening] = ()
    red_flags: Sequence[RedFlag] = ()
    tombstones: list[Tombstone] = field(default_factory=list)


def read_feed(
    session: Session,
    account_id: UUID,
    after: Position | None,
    *,
    kinds: tuple[Kind, ...] = KINDS,
    limit: int = 200,
) -> Feed:
    """At most `limit` changes after a position (None: from the start, without tombstones).

    If nothing is new, this reads two indexed rows: the epoch and the account's counter.

    Args:
        kinds: those that a first read begins with; afterwards the position has them.

    Raises:
        Gone: the position is older than the pruned tombstones (`cursor-expired`), or from before a
        backup was restored (`restored`). The app must read everything again.
    """
    line = line_of(session)
    ((counter, epoch, pruned_through),) = _STATE.rows(line, account_id=account_id)
    is_first, is_old = after is None, after is not None and after.kinds is None
    if after is None:
        # Read before any row: tombstones pruned after this make the next page's cursor expire.
        after = Position(epoch, 0, pruned_through, kinds)
    elif after.epoch != epoch or after.number > counter:
        # Numbers beyond the counter are of a future that a backup has lost, whatever the epoch.
        raise _restored()
    elif counter == after.number and not is_old and not after.left_out:
        return Feed(after, more=False)
    elif pruned_through > max(_since(after), after.gone_before):
        raise _expired()
    kinds = KINDS if after.kinds is None else after.kinds
    rows = _CHANGES.rows(
        line,
        account_id=account_id,
        after=_since(after),
        seen_to=after.number,
        left_out=after.left_out,
        kinds=None if kinds == KINDS else list(kinds),
        limit=limit + 1,
    )
    page, more = [_Change._make(row) for row in rows[:limit]], len(rows) > limit
    # What was committed before the counter was read is in `rows`: the rest is of other kinds.
    reached = page[-1].number if more else max(after.number, counter, *(row.number for row in page))
    position = _reached(replace(after, kinds=kinds), page, reached)
    feed = Feed(position, more)
    wanted: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for row in page:
        if row.kind not in wanted:
            continue  # `Passed`
        if not row.deleted:
            wanted[row.kind].append(row.entity_id)
        elif not is_first:
            feed.tombstones.append(Tombstone(row.kind, row.entity_id))
    whole: set[Kind] = set()
    if is_first or is_old:
        there = {kind for (kind,) in _THERE_LATER.rows(line, account_id=account_id)}
        whole = there.intersection(kinds)
    _load(session, account_id, wanted, feed, whole)
    return feed


def _since(position: Position) -> int:
    if position.passed is None or not position.left_out:
        return position.number
    return position.passed.read_to


def _reached(before: Position, page: Sequence["_Change"], reached: int) -> Position:
    passed = before.passed
    if passed is not None and reached < before.number:
        return replace(before, passed=replace(passed, read_to=reached))
    if passed is not None:
        passed = Passed(passed.after, KINDS, passed.after)
    elif unknown := [row.number for row in page if row.kind not in KINDS]:
        passed = Passed(unknown[0] - 1, KINDS, unknown[0] - 1)
    return replace(before, number=reached, passed=passed)


def _load(
    session: Session,
    account_id: UUID,
    wanted: dict[str, list[str]],
    feed: Feed,
    whole: Collection[Kind],
) -> None:
    """`whole`: the kinds of which all are read, whether their change was told or not."""
    # A row that was deleted after its change was read has a later change of its own.
    if ids := wanted["session"]:
        feed.sessions = load_shown(session, account_id, [UUID(id_) for id_ in ids])
    if ids := wanted["diary-entry"]:
        feed.diary_entries = read_entries(line_of(session), account_id, ids)
    if ids := wanted["device"]:
        held = held_devices(session, account_id)
        feed.devices = [held_device for held_device in held if held_device.device.id in ids]
    if ids := wanted["reminder"]:
        feed.reminders = _there(session, Reminder, account_id, ids)
    if ids := wanted["remark"]:
        feed.remarks = _there(session, Remark, account_id, ids)
    if ids := wanted[findings.KIND]:
        feed.findings = findings.by_entity_ids(session, account_id, ids)
    if (ids := wanted["experiment"]) or "experiment" in whole:
        trials = experiments.mine(session, account_id)
        feed.experiments = [one for one in trials if "experiment" in whole or str(one.id) in ids]
    if (ids := wanted["consent"]) or "consent" in whole:
        given = consent.standing(session, account_id)
        feed.consents = [one for name, one in given.items() if "consent" in whole or name in ids]
    if (ids := wanted["screening"]) or "screening" in whole:
        feed.screenings = latest_screenings(
            session, account_id, None if "screening" in whole else ids
        )
    if (ids := wanted["red-flag"]) or "red-flag" in whole:
        flags = standing_red_flags(session, account_id)
        feed.red_flags = [one for one in flags if "red-flag" in whole or str(one.id) in ids]


def _there(
    session: Session, table: type[Row], account_id: UUID, ids: Sequence[str]
) -> Sequence[Row]:
    query = select(table).where(
        table.account_id == account_id, table.id.in_(map(UUID, ids)), table.deleted_at.is_(None)
    )
    return session.scalars(query).all()


class _Change(NamedTuple):
    number: int
    kind: str
    entity_id: str
    deleted: bool


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_EPOCH = func.coalesce(select(SyncEpoch.epoch).scalar_subquery(), cast(NEVER_RESTORED, Uuid()))
_STATE = Prepared(
    # Tombstones that are pruned after this was read make the next page's cursor expire.
    select(Account.change_counter, _EPOCH, func.coalesce(SyncHorizon.pruned_through, 0))
    .select_from(Account)
    .outerjoin(SyncHorizon, SyncHorizon.account_id == Account.id)
    .where(Account.id == _ACCOUNT_ID)
)
_KINDS = bindparam("kinds", type_=ARRAY(Text()))
_CHANGES = Prepared(
    select(Change.number, Change.kind, Change.entity_id, Change.deleted)
    .where(
        Change.account_id == _ACCOUNT_ID,
        Change.number > bindparam("after", type_=BigInteger()),
        or_(
            Change.number > bindparam("seen_to", type_=BigInteger()),
            Change.kind == any_(bindparam("left_out", type_=ARRAY(Text()))),
        ),
        or_(_KINDS.is_(None), Change.kind == any_(_KINDS)),
    )
    .order_by(Change.number)
    .limit(bindparam("limit", type_=Integer()))
)
# Of these kinds changes are told only since they are in the feed: which of them there are.
_TOLD_LATER: dict[Kind, type[Experiment | Consent | Screening | RedFlag]] = {
    "experiment": Experiment,
    "consent": Consent,
    "screening": Screening,
    "red-flag": RedFlag,
}
_THERE_LATER = Prepared(
    union_all(
        *(
            select(literal_column(f"CAST('{kind}' AS text)")).where(
                exists().where(table.account_id == _ACCOUNT_ID)
            )
            for kind, table in _TOLD_LATER.items()
        )
    )
)
_NEWS = Prepared(
    select(Account.change_counter, _EPOCH).where(Account.id == _ACCOUNT_ID, IS_SIGNED_IN)
)


def has_news(
    line: psycopg.Connection[Any], account_id: UUID, family_id: UUID | None, after: Position
) -> bool | None:
    """Whether `read_feed` would tell of anything, by two indexed rows. None: the sign-in
    `family_id` of the account has ended."""
    rows = _NEWS.rows(line, account_id=account_id, family_id=family_id)
    if not rows:
        return None
    counter, epoch = rows[0]
    is_complete = after.kinds is not None and not after.left_out
    return bool(not is_complete or epoch != after.epoch or counter != after.number)


def renew_epoch(session: Session) -> UUID:
    """Begin a new epoch after a restore from a backup, so that every app reads everything again."""
    session.execute(delete(SyncEpoch))
    renewed = SyncEpoch(id=1, epoch=uuid4())
    session.add(renewed)
    session.flush()
    return renewed.epoch


def prune(session: Session, *, before: datetime, limit: int) -> int:
    """Prune at most `limit` tombstones and operations older than `before`. Return how many."""
    keys = inspect(Change).primary_key
    past = select(*keys).where(Change.deleted, Change.changed_at < before).limit(limit)
    pruned = (
        delete(Change)
        .where(tuple_(*keys).in_(past.with_for_update(skip_locked=True)))
        .returning(Change.account_id, Change.number)
        .cte("pruned")
    )
    by_account = select(
        pruned.c.account_id, func.max(pruned.c.number), func.count(pruned.c.number)
    ).group_by(pruned.c.account_id)
    removed = 0
    for account_id, number, count in session.execute(by_account).all():
        removed += count
        statement = insert(SyncHorizon).values(account_id=account_id, pruned_through=number)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[SyncHorizon.account_id],
                set_={
                    "pruned_through": func.greatest(
                        SyncHorizon.pruned_through, statement.excluded.pruned_through
                    )
                },
            )
        )
    keys = inspect(SyncOperation).primary_key
    answered = select(*keys).where(SyncOperation.answered_at < before).limit(limit - removed)
    forgotten = session.execute(
        delete(SyncOperation)
        .where(tuple_(*keys).in_(answered.with_for_update(skip_locked=True)))
        .returning(SyncOperation.id)
    ).all()
    return removed + len(forgotten)


def _expired() -> Gone:
    return Gone("This cursor has expired: read everything again.", code="cursor-expired")


def _restored() -> Gone:
    return Gone(
        "A backup was restored: read everything again, and send what is not there any more.",
        code="restored",
    )
