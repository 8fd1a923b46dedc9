"""The TypeScript engine beside a phone written from the page, and a store that loses power."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update

from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork
from cymba.diary.tables import DiaryEntry, Reminder
from cymba.stimulation.written.tables import Remark, WrittenSession
from cymba.sync.feed import renew_epoch
from cymba.sync.tables import SyncOperation
from tests.clients.typescript_phone import Node, TypeScriptPhone
from tests.service.resources.test_restored import ChangingServer
from tests.service.resources.test_sync_phones import FELT, STEP, WHO, SyncHistory, SyncServer

CUT = st.tuples(st.just("cut"), WHO, st.integers(1, 6), st.booleans())


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = Node()
    yield running
    running.close()


class HistoryWithPowerLoss(SyncHistory):
    def step(self, step: Any) -> None:
        kind, who, *rest = step
        if kind != "cut":
            super().step(step)
        elif isinstance(phone := self.phones[who % len(self.phones)], TypeScriptPhone):
            phone.cut(rest[0], kept=rest[1])

    def end(self) -> None:
        for phone in self.phones:
            if isinstance(phone, TypeScriptPhone):
                phone.cut(1_000_000, kept=True)
        self.world.fate = "answered"  # meant for a request that the power loss kept back
        super().end()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(STEP, STEP, STEP, CUT), min_size=10, max_size=50))
def test_two_phones_agree_whatever_happens(
    app: Flask, engine: Engine, make_person: Any, node: Node, steps: list[Any]
) -> None:
    note(f"a phone in Python, one in TypeScript: {steps}")
    world = SyncServer(app.test_client(), engine, make_person())
    phones = [TypeScriptPhone(node, world.send), *world.phones(1)]
    history = HistoryWithPowerLoss(world, phones)
    for step in steps:
        history.step(step)
    history.end()


def test_what_the_person_sees_is_their_own_edits_on_top(
    app: Flask, engine: Engine, make_person: Any, node: Node
) -> None:
    world = SyncServer(app.test_client(), engine, make_person())
    phone = TypeScriptPhone(node, world.send)
    entry = "8f14e45f-ceea-467f-ab8e-1f0e6f2d7c11"
    world.edit(phone, entry, FELT | {"items": {"pain_now": 5, "mood": 4}})
    assert phone.push()
    world.edit(phone, entry, {"note": "at night", "items": {"mood": None}})
    shown = phone.shown(entry)
    assert shown is not None
    assert (shown["note"], shown["items"]) == ("at night", {"pain_now": 5})
    world.edit(phone, entry, None)
    assert phone.shown(entry) is None
    assert phone.push()
    assert phone.mirror == {}


MADE: dict[str, dict[str, Any]] = {
    "diary-entry": FELT | {"note": "at night", "items": {"pain_now": 5, "mood": 4}},
    "reminder": {
        "title": "Mood", "local_times": ["08:00"], "weekdays": [1], "items": ["mood"],
        "enabled": True, "at_usual_hour": False,
    },
    "remark": {
        "what": "no_session", "said_of": "2026-03-01T12:00:00.000000Z", "time_zone": "UTC",
    },
    "session": {
        "recorder": "person", "model": "ear_cymba", "started_at": "2026-03-01T07:00:00.000000Z",
        "time_zone": "UTC", "duration_s": 900, "native_level": 12, "note": "by hand",
    },
}  # fmt: skip


def test_what_a_restore_has_lost_is_given_back(
    app: Flask, engine: Engine, make_person: Any, node: Node
) -> None:
    """Of every kind, and what the person edited before the phone knew of it comes after it."""
    person = make_person()
    phone = TypeScriptPhone(node, ChangingServer(app.test_client(), person.headers))
    ids = {kind: str(uuid4()) for kind in MADE}
    for kind, fields in MADE.items():
        phone.edit(ids[kind], fields, kind=kind)
    assert phone.push()
    assert phone.pull()
    before = without_times(phone)
    assert len(before) == len(MADE)
    with UnitOfWork(engine) as session, session.begin():
        for table in (DiaryEntry, Reminder, Remark, WrittenSession, SyncOperation, Change):
            session.execute(delete(table))
        session.execute(update(Account).values(change_counter=0))
        renew_epoch(session)
    phone.edit(ids["diary-entry"], {"note": "later"})
    assert phone.sync()
    after = without_times(phone)
    assert after.pop(ids["diary-entry"])["note"] == "later"
    before.pop(ids["diary-entry"])
    assert after == before
    assert phone.queue == []


def test_while_the_pull_after_a_restore_goes_on_nothing_is_pushed(
    app: Flask, engine: Engine, make_person: Any, node: Node
) -> None:
    """What was edited on top of an entry would come before it."""
    server = ChangingServer(app.test_client(), make_person().headers)
    phone = TypeScriptPhone(node, server)
    for _ in range(3):
        phone.edit(str(uuid4()), MADE["diary-entry"])
    assert phone.sync()
    with UnitOfWork(engine) as session, session.begin():
        session.execute(delete(SyncOperation))
        renew_epoch(session)
    id_ = next(iter(phone.mirror))
    phone.edit(id_, {"note": "later"})
    asked: list[str] = []

    def send(method: str, path: str, body: Any = None) -> tuple[int, Any] | None:
        asked.append(method)
        return server(method, path, body) if len(asked) == 1 else None  # 410, then no network

    phone.send = send
    assert not phone.sync()
    assert set(asked) == {"GET"}
    phone.send = server
    assert phone.sync()
    assert phone.mirror[id_]["note"] == "later"
    assert (phone.queue, phone.rejected) == ([], [])


def without_times(phone: TypeScriptPhone) -> dict[str, Any]:
    left_out = {"written_at", "changed_at", "version", "written"}
    return {
        id_: {name: value for name, value in one.items() if name not in left_out}
        for id_, one in phone.mirror.items()
    }
