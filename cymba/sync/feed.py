"""The change feed: an account's changes since a cursor, in the order of commits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import get_args
from uuid import UUID, uuid4

from sqlalchemy import delete, func, inspect, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.changes import Kind, change_counter
from cymba.accounts.merging import Row
from cymba.accounts.tables import Change
from cymba.devices.held_devices import HeldDevice, held_devices
from cymba.diary.tables import DiaryEntry, Reminder
from cymba.errors import Gone
from cymba.insights import findings
from cymba.insights.tables import Finding
from cymba.stimulation.session.shown import Shown, load_shown
from cymba.stimulation.written.tables import Remark
from cymba.sync.tables import SyncEpoch, SyncHorizon, SyncOperation

NEVER_RESTORED = UUID(int=0)
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Position:
    """How far an app has read: the number of the last change, and its epoch.

    Tombstones up to `gone_before` were pruned before the app's first read. So it misses none of
    them, even if its first read takes many pages to pass their numbers.
    """

    epoch: UUID
    number: int
    gone_before: int = 0


@dataclass(frozen=True, slots=True)
class Tombstone:
    kind: str
    entity_id: str


@dataclass(slots=True)
class Feed:
    position: Position
    more: bool
    sessions: Sequence[Shown] = ()
    diary_entries: Sequence[DiaryEntry] = ()
    devices: Sequence[HeldDevice] = ()
    reminders: Sequence[Reminder] = ()
    remarks: Sequence[Remark] = ()
    findings: Sequence[Finding] = ()
    tombstones: list[Tombstone] = field(default_factory=list)


def read_feed(
    session: Session, account_id: UUID, after: Position | None, *, limit: int = 200
) -> Feed:
    """At most `limit` changes after a position (None: from the start, without tombstones).

    If nothing is new, this reads two indexed rows: the epoch and the account's counter.

    Raises:
        Gone: the position is of another epoch, or older than the pruned tombstones. The app must
        read everything again.
    """
    epoch = current_epoch(session)
    if after is None:
        # Read before any row: tombstones pruned after this make the next page's cursor expire.
        after, is_first = Position(epoch, 0, _pruned_through(session, account_id)), True
    else:
        is_first = False
        if after.epoch != epoch:
            raise _expired()
        if change_counter(session, account_id) == after.number:
            return Feed(after, more=False)
        if _pruned_through(session, account_id) > max(after.number, after.gone_before):
            raise _expired()
    query = (
        select(Change.number, Change.kind, Change.entity_id, Change.deleted)
        .where(Change.account_id == account_id, Change.number > after.number)
        .order_by(Change.number)
        .limit(limit + 1)
    )
    rows = session.execute(query).all()
    page, more = rows[:limit], len(rows) > limit
    reached = replace(after, number=page[-1].number) if page else after
    feed = Feed(reached, more)
    wanted: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for row in page:
        if not row.deleted:
            wanted[row.kind].append(row.entity_id)
        elif not is_first:
            feed.tombstones.append(Tombstone(row.kind, row.entity_id))
    _load(session, account_id, wanted, feed)
    return feed


def _load(session: Session, account_id: UUID, wanted: dict[str, list[str]], feed: Feed) -> None:
    # A row that was deleted after its change was read has a later change of its own.
    if ids := wanted["session"]:
        feed.sessions = load_shown(session, account_id, [UUID(id_) for id_ in ids])
    if ids := wanted["diary-entry"]:
        feed.diary_entries = _there(session, DiaryEntry, account_id, ids)
    if ids := wanted["device"]:
        held = held_devices(session, account_id)
        feed.devices = [held_device for held_device in held if held_device.device.id in ids]
    if ids := wanted["reminder"]:
        reminders = select(Reminder).where(
            Reminder.account_id == account_id, Reminder.id.in_(map(UUID, ids))
        )
        feed.reminders = session.scalars(reminders).all()
    if ids := wanted["remark"]:
        feed.remarks = _there(session, Remark, account_id, ids)
    if ids := wanted[findings.KIND]:
        feed.findings = findings.by_entity_ids(session, account_id, ids)


def _there(
    session: Session, table: type[Row], account_id: UUID, ids: Sequence[str]
) -> Sequence[Row]:
    query = select(table).where(
        table.account_id == account_id, table.id.in_(map(UUID, ids)), table.deleted_at.is_(None)
    )
    return session.scalars(query).all()


def _pruned_through(session: Session, account_id: UUID) -> int:
    """The number up to which the account's tombstones are pruned."""
    query = select(SyncHorizon.pruned_through).where(SyncHorizon.account_id == account_id)
    return session.scalar(query) or 0


def current_epoch(session: Session) -> UUID:
    """The database's epoch; the nil UUID if it was never restored."""
    return session.scalar(select(SyncEpoch.epoch)) or NEVER_RESTORED


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
