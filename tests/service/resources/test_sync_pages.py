"""What PostgreSQL writes of a page is what its things are shown as, one by one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, insert

from cymba.accounts.changes import Kind, announce
from cymba.accounts.tables import Account
from cymba.accounts.tokens import sign_in
from cymba.database import Prepared, UnitOfWork, line_of, utc_now
from cymba.devices.tables import Device
from cymba.diary.entries import read_entries
from cymba.diary.tables import DiaryEntry
from cymba.stimulation.session.shown import load_shown
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession
from cymba.voice import Voice
from service.http.answers import dumps
from service.http.services import Services
from service.shapes.diary import entry_shown
from service.shapes.sessions import session_shown
from tests.service.resources.sync_others import OTHERS, Row, add_others, others_shown

AT = datetime(2026, 3, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
IDS = st.none() | st.uuids()
SEVERITY = st.fixed_dictionaries({"severity": st.sampled_from(["none", "mild", "severe"])})
ANSWERS = st.lists(st.none() | st.integers(0, 3), min_size=4, max_size=4)
DELETED = st.none() | st.just(AT)
ENTRIES = st.fixed_dictionaries(
    {
        # A leap year and a day before it was written, or a little less.
        "felt_at": MOMENTS | st.integers(-1, 1).map(lambda us: AT + timedelta(-366, 0, us)),
        "written_at": MOMENTS | st.just(AT),
        "time_zone": st.just("Europe/Berlin"),
        "session_id": IDS,
        "import_id": IDS,
        "note": st.none() | TEXTS,
        "items": st.fixed_dictionaries(
            {},
            optional={
                "pain_now": st.integers(0, 10),
                "sleep_hours": st.floats(0, 24),
                "medication": st.lists(st.fixed_dictionaries({"name": TEXTS, "dose": TEXTS})),
                "cough": SEVERITY,
                "phq4": ANSWERS,
                "pgic": st.integers(1, 7),
                "chest_pain": SEVERITY,
                "fainting": SEVERITY,
            },
        ),
        "version": st.integers(1, 2**31 - 1),
        "changed_at": MOMENTS,
        "deleted_at": DELETED,
    }
)
RECORDED = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["open", "ended"]),
        "programme": st.none() | st.just({"site": "tragus", "side": "left", "on_s": 30}),
        "mean_amplitude_ua": st.none() | st.floats(0, 1e6),
        "max_native_level": st.none() | st.integers(0, 9),
        "note": st.none() | TEXTS,
        "deleted_at": DELETED,
    }
)
WRITTEN = st.fixed_dictionaries(
    {
        "recorder": st.sampled_from(["phone", "person"]),
        "started_at": MOMENTS,
        "duration_s": st.integers(1, 86_400),
        "amplitude_ua": st.none() | st.integers(1, 60_000),
        "site": st.none() | st.just("tragus"),
        "note": st.none() | TEXTS,
        "deleted_at": DELETED,
    }
)
# Of a written one: which of the sessions before it has it as a witness, or has its very id.
OF_OTHERS = st.none() | st.tuples(st.integers(0, 9), st.booleans())


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    entries=st.lists(ENTRIES, max_size=6),
    recorded=st.lists(RECORDED, max_size=3),
    written=st.lists(st.tuples(WRITTEN, OF_OTHERS), max_size=4),
    others=OTHERS,
    limit=st.integers(1, 15),
)
def test_pages_hold_what_is_shown_one_by_one(
    app: Flask,
    engine: Engine,
    entries: list[Row],
    recorded: list[Row],
    written: list[tuple[Row, tuple[int, bool] | None]],
    others: Row,
    limit: int,
) -> None:
    account_id, headers = somebody(app, engine)
    own = {"account_id": account_id}
    of_device = [RECORD | one | own | {"id": uuid4(), "sid": uuid4()} for one in recorded]
    of_person: list[Row] = []
    for one, of_other in written:
        row = BY_HAND | one | own | {"id": uuid4(), "shown_with": None}
        earlier = of_device + of_person
        if of_other is not None and earlier:
            place, is_same = of_other[0] % len(earlier), of_other[1]
            if not is_same and row["deleted_at"] is None:
                row["shown_with"] = earlier[place]["id"]
            elif is_same and earlier[place]["id"] not in {one["id"] for one in of_person}:
                row["id"] = earlier[place]["id"]
        of_person.append(row if row["deleted_at"] is None else row | {"note": None})
    of_diary = [
        one | own | {"id": uuid4(), "field_versions": {}}
        | ({} if one["deleted_at"] is None else {"items": {}, "note": None})
        for one in entries
    ]  # fmt: skip
    with UnitOfWork(engine) as session, session.begin():
        for table, rows in (
            (StimulationSession, of_device),
            (WrittenSession, of_person),
            (DiaryEntry, of_diary),
        ):
            if rows:
                session.execute(insert(table), rows)
        kinds: list[tuple[Kind, list[Row]]] = [
            ("session", of_device), ("diary-entry", of_diary), ("session", of_person),
        ]  # fmt: skip
        for kind, rows in kinds:
            for row in rows:
                announce(session, account_id, kind, row["id"])
        add_others(session, account_id, others)
    pages = pull(app, headers, limit)
    with UnitOfWork(engine) as session:
        ids = list({row["id"] for row in of_device + of_person})
        sessions = load_shown(session, account_id, ids)
        kept = read_entries(line_of(session), account_id, [row["id"] for row in of_diary])
        with app.test_request_context():
            of_others = others_shown(session, account_id, utc_now())
    voice = Voice.of("en")
    assert by_id(pages, "sessions") == as_sent([session_shown(one) for one in sessions])
    assert by_id(pages, "diary_entries") == as_sent([entry_shown(one, voice) for one in kept])
    for name, shown in of_others.items():
        told = {one["id"]: one for page in pages for one in page[name]}
        assert told == as_sent(shown), name


RECORD: Row = {
    "device_id": "device-0001",
    "started_at": AT,
    "ended_at": AT,
    "time_zone": "UTC",
    "time_source": "arrival",
    "time_error_ms": 0,
    "frames_stored": 1,
    "sample_count": 0,
    "contact_lost_s": 0.0,
    "event_count": 0,
    "boots": [1],
    "excluded": False,
    "version": 1,
    "changed_at": AT,
}
BY_HAND: Row = {
    "model": "ear_clip",
    "time_zone": "UTC",
    "excluded": False,
    "written_at": AT,
    "version": 1,
    "field_versions": {},
}


def somebody(app: Flask, engine: Engine) -> tuple[UUID, dict[str, str]]:
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email=f"{uuid4().hex}@example.org")
        session.add(account)
        if session.get(Device, "device-0001") is None:
            session.add(Device(id="device-0001", serial="S", model="ear_cymba"))
        session.flush()
        pair = sign_in(session, Services.of(app).signer, account.id, utc_now())
        return account.id, {"Authorization": f"Bearer {pair.access_token}"}


def pull(app: Flask, headers: dict[str, str], limit: int) -> list[Row]:
    """All pages, from the start."""
    client, pages = app.test_client(), list[Row]()
    query: dict[str, Any] = {"limit": limit}
    while True:
        answer = client.get("/v1/sync", query_string=query, headers=headers)
        assert answer.status_code == 200, answer.data
        pages.append(orjson.loads(answer.data))
        if not pages[-1]["more"]:
            return pages
        query["cursor"] = pages[-1]["next_cursor"]


def by_id(pages: list[Row], name: str) -> dict[str, Row]:
    found = [one for page in pages for one in page[name]]
    assert len({one["id"] for one in found}) == len(found)
    return {one["id"]: one for one in found}


def as_sent(shown: list[Row]) -> dict[str, Row]:
    return {one["id"]: one for one in orjson.loads(dumps(shown))}


def test_a_first_page_of_sessions_and_entries_takes_one_statement(
    app: Flask, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id, headers = somebody(app, engine)
    row: Row = {"account_id": account_id, "id": uuid4(), "sid": uuid4(), "state": "ended"}
    with UnitOfWork(engine) as session, session.begin():
        session.execute(insert(StimulationSession), [RECORD | row])
        announce(session, account_id, "session", row["id"])
    statements: list[str] = []
    rows = Prepared.rows

    def noted(self: Prepared, *given: Any, **named: Any) -> Any:
        statements.append(self.sql)
        return rows(self, *given, **named)

    monkeypatch.setattr(Prepared, "rows", noted)
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    (page,) = pull(app, headers, 200)
    assert [one["id"] for one in page["sessions"]] == [str(row["id"])]
    assert len(statements) == 1
    again = app.test_client().get(f"/v1/sync?cursor={page['next_cursor']}", headers=headers)
    assert orjson.loads(again.data)["sessions"] == []
    assert len(statements) == 2
