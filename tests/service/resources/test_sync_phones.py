"""Two or three phones of docs/mobile-sync.md, and whatever may come between them and the server."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from cymba.accounts.changes import announce
from cymba.database import UnitOfWork
from cymba.devices.tables import Device
from cymba.stimulation.tables import StimulationSession
from tests.service.conftest import ApiUser
from tests.service.resources.sync_phone import Json, Phone
from tests.service.resources.sync_witness import Witness

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
REMINDER = {
    "title": "?",
    "local_times": ["08:00"],
    "weekdays": [1],
    "items": ["mood"],
    "enabled": True,
    "at_usual_hour": False,
}
FELT = {"felt_at": "2026-03-01T07:30:00.000000Z", "time_zone": "UTC"}

Fate = Literal["answered", "lost", "killed"]


class Killed(Exception):
    pass


class SyncServer:
    """A server that may be killed before a commit, a network that may lose what comes after."""

    def __init__(self, client: FlaskClient, engine: Engine, person: ApiUser) -> None:
        self.client, self.engine, self.headers = client, engine, person.headers
        self.account_id = person.id
        self.kinds: dict[str, str] = {}  # by entity
        self.witness = Witness()
        self.fate: Fate = "answered"
        self.rng = random.Random(0)

    def record(self) -> str:
        """A session of a device of theirs."""
        id_ = uuid4()
        with UnitOfWork(self.engine) as session, session.begin():
            session.add(Device(id=f"device-{id_}"[:32], serial=str(id_)[:12], model="ear_cymba"))
            session.flush()
            session.add(
                StimulationSession(
                    id=id_,
                    device_id=f"device-{id_}"[:32],
                    sid=id_,
                    account_id=self.account_id,
                    state="ended",
                    started_at=BEGAN,
                    ended_at=BEGAN,
                    time_zone="UTC",
                    time_source="anchored",
                    time_error_ms=20,
                    frames_stored=1,
                    sample_count=0,
                    contact_lost_s=0.0,
                    event_count=0,
                    boots=[1],
                    changed_at=BEGAN,
                )
            )
            announce(session, self.account_id, "session", id_)
        self.kinds[str(id_)] = "session"
        self.witness.recorded(str(id_), 1)
        return str(id_)

    def derive(self, session_id: str) -> None:
        """The device sends more of it: a new version, in which the person's words are the same."""
        with UnitOfWork(self.engine) as session, session.begin():
            row = session.get_one(StimulationSession, UUID(session_id), with_for_update=True)
            row.version += 1
            announce(session, self.account_id, "session", session_id)
            self.witness.recorded(session_id, row.version)

    def phones(self, count: int) -> list[Phone]:
        return [Phone(self.send) for _ in range(count)]

    def send(self, method: str, path: str, body: Any) -> tuple[int, Json] | None:
        fate, self.fate = self.fate, "answered"
        with self._killed() if fate == "killed" else _nothing():
            answered = self.client.open(
                path,
                method=method,
                data=None if body is None else json.dumps(self._written_anew(body)),
                content_type=None if body is None else "application/json",
                headers=self.headers,
            )
        if fate == "killed":
            # A read without news has no transaction, and so no commit to be killed before.
            assert answered.status_code >= 500 or method == "GET"
            return None
        if method == "POST" and answered.status_code == 200:
            self.witness.judge(body["operations"], answered.json["answers"])
        return None if fate == "lost" else (answered.status_code, answered.json)  # type: ignore[return-value]

    def edit(
        self, phone: Phone, entity_id: str, changes: Json | None, kind: str = "diary-entry"
    ) -> None:
        self.kinds[entity_id] = kind
        screen = self.witness.screen(phone, entity_id)
        operation = phone.edit(entity_id, changes, kind=kind)
        if operation is not None:  # else the phone lost it, and its person sees that it is gone
            self.witness.made(operation, screen)

    def _written_anew(self, value: Any) -> Any:
        """The same JSON: members in another order, whole numbers with and without a point."""
        match value:
            case dict():
                names = self.rng.sample(list(value), len(value))
                return {name: self._written_anew(value[name]) for name in names}
            case list():
                return [self._written_anew(each) for each in value]
            case int() if type(value) is int:
                return self.rng.choice([value, float(value)])
            case _:
                return value

    @contextmanager
    def _killed(self) -> Iterator[None]:
        def die(_: Any) -> None:
            raise Killed

        event.listen(self.engine, "commit", die)
        try:
            yield
        finally:
            event.remove(self.engine, "commit", die)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


WHO = st.integers(0, 2)
FATE = st.sampled_from(["answered", "answered", "lost", "killed"])
CHANGE = st.one_of(
    st.just({"note": "?"}),  # made different from all others
    st.just({"items": {"medication": "?"}}),
    st.just({"note": None}),
    st.just({"items": {"medication": None}}),
    st.builds(lambda pain: {"items": {"pain_now": pain}}, st.integers(0, 2)),
    st.builds(lambda pain: {"note": "?", "items": {"pain_now": pain}}, st.integers(0, 2)),
    st.just({"felt_at": "?"}),
    st.just({"items": {"mood": 50, "pain_now": 1}}),  # which does not fit
)
STEP = st.one_of(
    st.tuples(st.just("new"), WHO),
    st.tuples(st.just("remind"), WHO),
    st.tuples(st.just("derive"), WHO),
    st.tuples(st.just("edit"), WHO, st.integers(0, 9), CHANGE),
    st.tuples(st.just("edit"), WHO, st.integers(0, 9), CHANGE),
    st.tuples(st.just("delete"), WHO, st.integers(0, 9)),
    st.tuples(st.just("again"), WHO, st.integers(0, 9)),
    st.tuples(st.just("push"), WHO, st.integers(1, 5), FATE),
    st.tuples(st.just("pull"), WHO, st.integers(1, 5), FATE),
)


def _for_kind(kind: str, change: Json) -> Json:
    """A change of a diary entry as one of another kind: of as many fields, as different."""
    items = change.get("items", {})
    number = items.get("pain_now", 0)
    note = {"note": change["note"]} if "note" in change else {}
    match kind:
        case "reminder":
            changed: Json = {"title": "?"} if note.get("note") else {}
            if note.get("note", "") is None or "medication" in items:
                changed["enabled"] = items.get("medication") is None
            if "pain_now" in items:
                changed["weekdays"] = [50] if "mood" in items else [number + 1]
            return changed | ({"local_times": ["07:00", "09:00"]} if "felt_at" in change else {})
        case "session":
            if "mood" in items:
                return {"duration_s": 50}
            return note | ({} if note and not items else {"excluded": number % 2 == 1})
        case _:
            return change


class SyncHistory:
    def __init__(self, world: SyncServer, phones: list[Phone]) -> None:
        self.world, self.phones = world, phones
        self.made = 0
        self.recorded = world.record()

    def step(self, step: Any) -> None:
        kind, who, *rest = step
        phone = self.phones[who % len(self.phones)]
        match kind, *rest:
            case ("new",):
                self.world.edit(phone, str(uuid4()), self._unique(FELT | {"note": "?"}))
            case ("remind",):
                self.world.edit(phone, str(uuid4()), self._unique(REMINDER), "reminder")
            case ("derive",):
                self.world.derive(self.recorded)
            case "edit", which, change:
                if entity_id := self._pick(phone, which, gone=False):
                    kind = self.world.kinds[entity_id]
                    changes = self._unique(_for_kind(kind, change))
                    self.world.edit(phone, entity_id, changes, kind)
            case "delete", which:
                entity_id = self._pick(phone, which, gone=False)
                if entity_id and entity_id != self.recorded:
                    self.world.edit(phone, entity_id, None, self.world.kinds[entity_id])
            case "again", which:  # over an own deletion that is still in the queue
                if entity_id := self._pick(phone, which, gone=True):
                    kind = self.world.kinds[entity_id]
                    anew = REMINDER if kind == "reminder" else FELT | {"note": "?"}
                    self.world.edit(phone, entity_id, self._unique(anew), kind)
            case "push", size, fate:
                self.world.fate = fate if phone.queue else "answered"
                phone.push(size=size)
            case "pull", limit, fate:
                self.world.fate = fate
                phone.pull(limit=limit)

    def end(self) -> None:
        """All push, all pull; then all agree, and each operation has had one outcome."""
        for phone in self.phones:
            assert phone.push()
        fresh = Phone(self.world.send)
        for phone in [fresh, *self.phones]:
            assert phone.pull()
            assert phone.mirror == fresh.mirror
        witness = self.world.witness
        alive = {id_: at.alive for id_, at in witness.server.items() if not at.is_gone}
        kinds = self.world.kinds
        shown = {id_: witness.alive(kinds[id_], entity) for id_, entity in fresh.mirror.items()}
        assert shown == alive
        told = {"conflict": set(), "rejected": set()}
        for phone in self.phones:
            told["conflict"] |= {operation["id"] for operation, _ in phone.conflicts}
            told["rejected"] |= {operation["id"] for operation, _ in phone.rejected}
        for status, ids in told.items():
            assert ids == {id_ for id_, end in witness.settled.items() if end == status}
        assert witness.settled.keys() == witness.screens.keys()

    def _pick(self, phone: Phone, which: int, *, gone: bool) -> str | None:
        ids = dict.fromkeys([*phone.mirror, *(queued["entity_id"] for queued in phone.queue)])
        fitting = [id_ for id_ in ids if self.world.witness.screen(phone, id_).is_gone == gone]
        return fitting[which % len(fitting)] if fitting else None

    def _unique(self, change: Json) -> Json:
        self.made += 1
        made = {name: f"n{self.made}" if value == "?" else value for name, value in change.items()}
        if made.get("felt_at", "").startswith("n"):
            made["felt_at"] = f"2026-03-01T{self.made // 60 % 24:02}:{self.made % 60:02}:00.000000Z"
        if change.get("items") == {"medication": "?"}:
            made["items"] = {"medication": [{"name": f"n{self.made}"}]}
        return made


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(2, 3), steps=st.lists(STEP, max_size=40))
def test_no_history_has_a_false_conflict_or_loses_doubles_or_overwrites_anything(
    app: Flask, engine: Engine, make_person: Any, count: int, steps: list[Any]
) -> None:
    note(f"{count} phones: {steps}")
    world = SyncServer(app.test_client(), engine, make_person())
    history = SyncHistory(world, world.phones(count))
    for step in steps:
        history.step(step)
    history.end()
