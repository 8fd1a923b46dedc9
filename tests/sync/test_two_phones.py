"""Two apps from before `builds_on` edit the same entries offline, and lose answers."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, line_of
from cymba.diary.entries import KIND, DiaryEntries, read_entries
from cymba.diary.fields import values
from cymba.diary.tables import DiaryEntry, ReadEntry
from cymba.sync.feed import Position
from cymba.sync.push import Operation, push
from cymba.sync.tables import SyncOperation
from tests.sync.feed_pages import entry_ids, read_feed

KEY = Ed25519PrivateKey.generate()
flat = DiaryEntries(KEY).flat
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMESPACE = UUID("6f0c1f6e-5f0e-4a3e-9b0a-5e2f5a1f0c11")
ENTRIES = [uuid5(NAMESPACE, f"entry-{i}") for i in range(3)]


@dataclass
class Copy:
    """What a phone holds of one entry; no fields: it is deleted."""

    version: int
    fields: dict[str, Any]


@dataclass
class PushingPhone:
    """A client that raises the base of its queued edits to what an answer says it has seen."""

    engine: Engine
    account_id: UUID
    mirror: dict[UUID, Copy] = field(default_factory=dict)
    queue: list[Operation] = field(default_factory=list)
    position: Position | None = None
    conflicts: list[tuple[Operation, Copy]] = field(default_factory=list)
    made: int = 0

    def seen(self, entry_id: UUID) -> dict[str, Any]:
        """The entry as the person sees it: the server's copy, with the queued edits on top."""
        fields = dict(self.mirror[entry_id].fields) if entry_id in self.mirror else {}
        for operation in self.queue:
            if operation.entity_id == entry_id:
                fields = {} if operation.action == "delete" else fields | dict(operation.fields)
        return fields

    def edit(self, entry_id: UUID, changes: dict[str, Any] | None) -> None:
        shown = self.seen(entry_id)
        if changes is None and not shown:
            return
        if not shown:
            changes = {"felt_at": NOW, "time_zone": "UTC", **(changes or {})}
        self.made += 1
        base = self.mirror[entry_id].version if entry_id in self.mirror else 0
        self.queue.append(
            Operation(
                id=uuid5(NAMESPACE, f"{id(self)}-{self.made}"),
                kind=KIND,
                action="delete" if changes is None else "put",
                entity_id=entry_id,
                base_version=base,
                fields=changes or {},
            )
        )

    def push(self, *, answer_lost: bool) -> None:
        """Send the first operation; while its answer is lost it stays, and is sent again."""
        if not self.queue:
            return
        operation = self.queue[0]
        with UnitOfWork(self.engine, expire_on_commit=False) as session, session.begin():
            (answer,) = push(session, self.account_id, [operation], key=KEY, now=NOW)
        if answer_lost:
            return
        self.queue.pop(0)
        if answer.row is not None:
            self._learn(answer.row)
        if answer.status == "conflict":
            self.conflicts.append((operation, self.mirror[operation.entity_id]))
        if answer.version is not None:
            # What this phone queued behind it was written on top of it, and of nothing newer.
            self.queue = [
                replace(queued, base_version=answer.version)
                if queued.entity_id == operation.entity_id
                else queued
                for queued in self.queue
            ]
        if answer.status == "rejected":
            raise AssertionError(answer.problem)

    def pull(self) -> None:
        if self.position is None:
            self.mirror.clear()  # a first sync has no tombstones: what it does not bring is gone
        with UnitOfWork(self.engine) as session:
            while True:
                feed = read_feed(session, self.account_id, self.position, limit=2)
                for entry in read_entries(line_of(session), self.account_id, entry_ids(feed)):
                    self._learn(entry)
                for stone in feed.tombstones:
                    self.mirror.pop(UUID(stone.entity_id), None)
                self.position = feed.position
                if not feed.more:
                    return

    def _learn(self, entry: DiaryEntry | ReadEntry) -> None:
        fields = values(entry) if isinstance(entry, ReadEntry) else flat(entry)
        known = self.mirror.get(entry.id)
        if known is None or known.version <= entry.version:
            self.mirror[entry.id] = Copy(entry.version, fields)


EDIT = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"items.pain_now": st.integers(0, 10), "note": st.text("ab")}
    )
    .filter(bool)
    .map(dict),
    st.none(),
)
STEP = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 1), st.sampled_from(ENTRIES), EDIT),
    st.tuples(st.just("push"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("pull"), st.integers(0, 1)),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=40))
def test_both_phones_end_with_the_servers_state(engine: Engine, steps: list[Any]) -> None:
    with UnitOfWork(engine) as session, session.begin():
        session.execute(delete(Account))
        account = Account(email="person@example.org")
        session.add(account)
        session.flush()
        account_id = account.id
    phones = [PushingPhone(engine, account_id), PushingPhone(engine, account_id)]
    for step in steps:
        match step:
            case ("edit", who, entry_id, changes):
                phones[who].edit(entry_id, changes)
            case ("push", who, lost):
                phones[who].push(answer_lost=lost)
            case ("pull", who):
                phones[who].pull()
    for phone in phones:
        while phone.queue:
            phone.push(answer_lost=False)
    for phone in phones:
        phone.pull()
    with UnitOfWork(engine) as session:
        rows = session.scalars(select(DiaryEntry).where(DiaryEntry.account_id == account_id))
        server = {row.id: Copy(row.version, flat(row)) for row in rows}
        applied = len(session.scalars(select(SyncOperation.id)).all())
    alive = {id_: copy for id_, copy in server.items() if copy.fields}
    for phone in phones:
        assert {id_: copy for id_, copy in phone.mirror.items() if copy.fields} == alive
    # Each operation was applied once, or its phone got a conflict.
    told = sum(len(phone.conflicts) for phone in phones)
    assert applied + told == sum(phone.made for phone in phones)
