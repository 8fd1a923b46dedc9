"""The change feed: an account's changes since a cursor, in the order of commits."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, get_args
from uuid import UUID, uuid4

import msgspec
import orjson
import psycopg
from sqlalchemy import Uuid, any_, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.changes import Kind
from cymba.accounts.consent import StandingConsent
from cymba.accounts.tables import Account, Change
from cymba.accounts.tokens import IS_SIGNED_IN, Caller
from cymba.database import Prepared, array_of, line_of
from cymba.devices.held_devices import HeldDevice, held_devices
from cymba.devices.screening import (
    LatestScreening,
    StandingRedFlag,
    latest_screenings,
    standing_red_flags,
)
from cymba.diary.tables import Reminder
from cymba.errors import Gone
from cymba.insights import findings
from cymba.insights.experiments import trials as experiments
from cymba.insights.findings import ShownFinding
from cymba.insights.tables import Experiment
from cymba.json_rows import ShownAs
from cymba.parts import delete_some
from cymba.stimulation.session.shown import Shown
from cymba.stimulation.session.shown_in_sql import (
    read_recorded_rows,
    read_written_rows,
    with_witnesses,
)
from cymba.stimulation.written.tables import Remark
from cymba.sync.page_statement import ACCOUNT_ID, page_statement
from cymba.sync.tables import EPOCH, NEVER_RESTORED, SyncEpoch, SyncHorizon, SyncOperation

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
    """A page. PostgreSQL has written what is text in it, as the edge's schemas say: JSON of one or
    several with commas between. Entries that are dicts are written too, but for their marks.
    """

    caller: Caller
    position: Position
    more: bool
    sessions: Sequence[Shown | str] = ()
    diary_entries: Sequence[dict[str, Any] | str] = ()
    tombstones: list[Tombstone] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By kind, what else has changed: `load_others` reads it."""
    whole: Collection[str] = ()
    """The kinds of which all are read, whether their change was told or not."""

    @property
    def has_others(self) -> bool:
        return bool(self.told or self.whole)


@dataclass(slots=True)
class Others:
    devices: Sequence[HeldDevice] = ()
    reminders: Sequence[dict[str, Any]] = ()
    remarks: Sequence[dict[str, Any]] = ()
    findings: Sequence[ShownFinding] = ()
    experiments: Sequence[Experiment] = ()
    consents: Sequence[StandingConsent] = ()
    screenings: Sequence[LatestScreening] = ()
    red_flags: Sequence[StandingRedFlag] = ()


class FeedPages:
    def __init__(self, session_as: ShownAs, entry_as: ShownAs) -> None:
        self.statement = Prepared(page_statement(session_as, entry_as))

    def read(
        self,
        line: psycopg.Connection[Any],
        account_id: UUID,
        family_id: UUID | None,
        after: Position | None,
        *,
        kinds: tuple[Kind, ...] = KINDS,
        limit: int = 200,
    ) -> Feed | None:
        """At most `limit` changes after a position (None: from the start, without tombstones). None
        if the sign-in `family_id` of the account has ended; without it, the caller has checked.

        Args:
            kinds: those that a first read begins with; afterwards the position has them.

        Raises:
            Gone: the position is older than the pruned tombstones (`cursor-expired`), or from
            before a backup was restored (`restored`). The app must read everything again.
        """
        is_first = after is None
        begun = Position(NEVER_RESTORED, 0, kinds=kinds) if after is None else after
        kinds = KINDS if begun.kinds is None else begun.kinds
        begins = is_first or begun.kinds is None
        rows = self.statement.rows(
            line,
            account_id=account_id,
            family_id=family_id,
            after=_since(begun),
            seen_to=begun.number,
            left_out=begun.left_out,
            kinds=None if kinds == KINDS else list(kinds),
            limit=limit,
            begins=begins,
        )
        parts: dict[str, list[str]] = {}
        for part, text in rows:
            if text is not None:
                parts.setdefault(part, []).append(text)
        if "head" not in parts:
            return None
        head = _read_head(parts["head"][0])
        if is_first:
            # Tombstones that are pruned after this make the next page's cursor expire.
            begun = Position(head.epoch, 0, head.pruned_through, kinds)
        elif begun.epoch != head.epoch or begun.number > head.counter:
            # Numbers beyond the counter are of a future that a backup has lost, whatever the epoch.
            raise _restored()
        elif head.counter == begun.number and not begins and not begun.left_out:
            return Feed(head.caller, begun, more=False)
        elif head.pruned_through > max(_since(begun), begun.gone_before):
            raise _expired()
        changes = _read_changes(f"[{parts['changes'][0]}]") if "changes" in parts else []
        more = head.changes > limit
        # All that was committed before is in the page: the rest is of other kinds.
        reached = head.last if more and head.last else max(begun.number, head.counter)
        position = _reached(replace(begun, kinds=kinds), changes, reached)
        feed = Feed(head.caller, position, more)
        for change in changes:
            if change.kind not in KINDS:
                continue  # `Passed`
            if not change.deleted:
                feed.told[change.kind].append(change.entity_id)
            elif not is_first:
                feed.tombstones.append(Tombstone(change.kind, change.entity_id))
        feed.whole = set(kinds).intersection(parts.get("there", ()))
        feed.sessions = _sessions(parts)
        feed.diary_entries = parts.get("entries", [])
        if "marked" in parts:
            feed.diary_entries = [*feed.diary_entries, *orjson.loads(f"[{parts['marked'][0]}]")]
        return feed


def _sessions(parts: Mapping[str, Sequence[str]]) -> Sequence[Shown | str]:
    if "written" not in parts and "witnesses" not in parts:
        return parts.get("recorded", ())
    recorded, written, witnesses = (
        f"[{parts[name][0] if name in parts else ''}]"
        for name in ("recorded", "written", "witnesses")
    )
    of_device = read_recorded_rows(recorded)
    of_person = {one.id: one for one in read_written_rows(written)}
    ids = dict.fromkeys([*of_device, *of_person])
    return with_witnesses(ids, of_device, of_person, read_written_rows(witnesses))


def _since(position: Position) -> int:
    if position.passed is None or not position.left_out:
        return position.number
    return position.passed.read_to


def _reached(before: Position, changes: Sequence["_Change"], reached: int) -> Position:
    passed = before.passed
    if passed is not None and reached < before.number:
        return replace(before, passed=replace(passed, read_to=reached))
    if passed is not None:
        passed = Passed(passed.after, KINDS, passed.after)
    elif unknown := [row.number for row in changes if row.kind not in KINDS]:
        passed = Passed(unknown[0] - 1, KINDS, unknown[0] - 1)
    return replace(before, number=reached, passed=passed)


def load_others(session: Session, feed: Feed) -> Others:
    """What a page tells of besides sessions and entries.

    A row that was deleted after its change was read has a later change of its own.
    """
    account_id, told, whole, others = feed.caller.id, feed.told, feed.whole, Others()
    line = line_of(session)
    if ids := told["device"]:
        held = held_devices(session, account_id)
        others.devices = [held_device for held_device in held if held_device.device.id in ids]
    if ids := told["reminder"]:
        others.reminders = _REMINDERS.read(line, account_id, ids)
    if ids := told["remark"]:
        others.remarks = _REMARKS.read(line, account_id, ids)
    if ids := told[findings.KIND]:
        others.findings = findings.by_entity_ids(line, account_id, ids)
    if (ids := told["experiment"]) or "experiment" in whole:
        trials = experiments.mine(session, account_id)
        others.experiments = [one for one in trials if "experiment" in whole or str(one.id) in ids]
    if (ids := told["consent"]) or "consent" in whole:
        given = consent.standing(line, account_id)
        others.consents = [one for name, one in given.items() if "consent" in whole or name in ids]
    if (ids := told["screening"]) or "screening" in whole:
        latest = latest_screenings(line, account_id)
        others.screenings = [
            one for model, one in latest.items() if "screening" in whole or model in ids
        ]
    if (ids := told["red-flag"]) or "red-flag" in whole:
        flags = standing_red_flags(line, account_id)
        others.red_flags = [one for one in flags if "red-flag" in whole or str(one.id) in ids]
    return others


class _MergedRows:
    """Those of some things that were not deleted, by the names of their columns."""

    def __init__(self, table: type[Reminder | Remark]) -> None:
        columns = table.__table__.columns
        self._names = [column.name for column in columns]
        self._statement = Prepared(
            select(*columns).where(
                table.account_id == ACCOUNT_ID,
                table.id == any_(bindparam("ids", type_=ARRAY(Uuid()))),
                table.deleted_at.is_(None),
            )
        )

    def read(
        self, line: psycopg.Connection[Any], account_id: UUID, ids: Sequence[str]
    ) -> list[dict[str, Any]]:
        rows = self._statement.rows(line, account_id=account_id, ids=array_of(ids))
        return [dict(zip(self._names, row, strict=True)) for row in rows]


_REMINDERS, _REMARKS = _MergedRows(Reminder), _MergedRows(Remark)


class _Change(NamedTuple):
    number: int
    kind: str
    entity_id: str
    deleted: bool


class _PageHead(NamedTuple):
    """What is read with each page, whatever has changed."""

    caller: Caller
    counter: int  # the number of the account's last change
    epoch: UUID
    pruned_through: int
    changes: int  # of the page, and one more if there is
    last: int | None  # of the page


_read_head = msgspec.json.Decoder(_PageHead).decode
_read_changes = msgspec.json.Decoder(list[_Change]).decode
_NEWS = Prepared(
    select(Account.change_counter, EPOCH).where(Account.id == ACCOUNT_ID, IS_SIGNED_IN)
)


def has_news(
    line: psycopg.Connection[Any], account_id: UUID, family_id: UUID | None, after: Position
) -> bool | None:
    """Whether a page would tell of anything, by two indexed rows. None: the sign-in
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
    past = delete_some(session, Change, Change.deleted, Change.changed_at < before, limit=limit)
    pruned = past.returning(Change.account_id, Change.number).cte("pruned")
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
    is_past = SyncOperation.answered_at < before
    answered = delete_some(session, SyncOperation, is_past, limit=limit - removed)
    return removed + len(session.execute(answered.returning(SyncOperation.id)).all())


def _expired() -> Gone:
    return Gone("This cursor has expired: read everything again.", code="cursor-expired")


def _restored() -> Gone:
    return Gone(
        "A backup was restored: read everything again, and send what is not there any more.",
        code="restored",
    )
