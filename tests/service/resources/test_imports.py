"""A file from another app: brought in pieces, looked at, stored, brought again, and undone."""

import io
import random
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from cymba.database import UnitOfWork, utc_now
from cymba.diary.tables import DiaryEntry
from cymba.imports import lifecycle, staging
from cymba.imports.tables import DataImport, ImportedReading, ImportPiece
from cymba.insights.inputs import entry_facts
from cymba.rights.erasure import erase
from cymba.rights.personal_data import PERSONAL_TABLES
from cymba.settings import Settings
from tests.imports.files_by_hand import (
    BEARABLE,
    DAYLIO,
    HEART_RATE,
    NIGHT,
    apple_xml,
    apple_zip,
    health_connect_db,
    record,
)
from workers.imports import ImportsWorker

BYTES = {"Content-Type": "application/octet-stream"}
# What an import and its undoing leave: its own record, the log of it, and what apps are told.
LEFT = {"data_import", "audit_entry", "change", "account", "kept_answer", "refresh_token"}


class Imports:
    """What an app does, and a worker's rounds."""

    def __init__(self, client: Any, person: Any, engine: Any, **limits: Any) -> None:
        self.client, self.person, self.engine = client, person, engine
        self.worker = ImportsWorker(engine, Settings(**limits))

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = self.person.headers | more.pop("headers", {})
        return self.client.open(f"/v1{path}", method=method, headers=headers, **more)

    def begin(self, size: int, **more: Any) -> Any:
        return self.ask(
            "POST", "/imports", json={"bytes": size, "time_zone": "Europe/Berlin"} | more
        )

    def send(self, data: bytes) -> Any:
        """The import as it stands once the worker has read the file."""
        begun = self.begin(len(data))
        assert begun.status_code == 201, begun.json
        made = begun.json
        for number in range(made["pieces"]):
            piece = data[number * made["piece_bytes"] : (number + 1) * made["piece_bytes"]]
            path = f"/imports/{made['id']}/pieces/{number}"
            assert self.ask("PUT", path, data=piece, headers=BYTES).status_code == 200
        return self.worked(made["id"])

    def worked(self, id_: str) -> Any:
        while self.worker.run_once()[0]:
            pass
        return self.ask("GET", f"/imports/{id_}").json

    def step(self, id_: str, what: str) -> Any:
        answered = self.ask("POST", f"/imports/{id_}/{what}")
        assert answered.status_code == 200, answered.json
        return self.worked(id_)

    def bring(self, data: bytes) -> Any:
        return self.step(self.send(data)["id"], "confirm")

    def rows(self) -> dict[str, list[Any]]:
        """Of the person, by table; of what was deleted nothing but that it is."""
        with self.engine.connect() as line:
            found = {}
            for holding in PERSONAL_TABLES:
                if holding.name in LEFT:
                    continue
                query = select(holding.table).where(holding.whose(self.person.id))
                if "deleted_at" in holding.table.columns:
                    query = query.where(holding.table.columns["deleted_at"].is_(None))
                found[holding.name] = sorted(map(repr, line.execute(query)))
            return found

    def readings(self, kind: str, **query: Any) -> Any:
        return self.ask("GET", f"/readings/{kind}", query_string=query).json


@pytest.fixture
def imports(client, person, engine):
    return Imports(client, person, engine)


def kinds(shown):
    return {one["kind"]: (one["count"], one["duplicates"]) for one in shown["preview"]["kinds"]}


def test_apples_export_is_shown_stored_and_undone_as_one(imports):
    before = imports.rows()
    shown = imports.send(apple_zip())
    assert (shown["state"], shown["format"]) == ("read", "apple_health")
    assert kinds(shown) == {"heart_rate": (2, 0), "hrv_sdnn": (1, 0), "sleep": (1, 0)}
    (pulse,) = (one for one in shown["preview"]["kinds"] if one["kind"] == "heart_rate")
    assert (pulse["first_day"], pulse["last_day"]) == ("2026-01-05", "2026-01-05")
    assert [(one["reason"], one["count"]) for one in shown["preview"]["left_out"]] == [
        ("other-kind", 1)
    ]
    assert imports.readings("heart_rate")["items"] == []  # nothing is stored yet
    stored = imports.step(shown["id"], "confirm")
    assert stored["state"] == "stored"
    found = imports.readings("heart_rate")
    assert [one["value"] for one in found["items"]] == [64.5, 61.0]
    assert found["unit"] == "/min"
    assert [one["stage"] for one in imports.readings("sleep")["items"]] == ["light"]
    assert imports.readings("hrv_rmssd")["items"] == []  # SDNN is another thing
    undone = imports.step(shown["id"], "undo")
    assert undone["state"] == "undone"
    assert imports.rows() == before


def test_the_same_file_twice_and_a_longer_one_change_only_what_is_new(imports):
    imports.bring(apple_zip())
    once = imports.rows()
    assert kinds(imports.bring(apple_zip())) == {
        "heart_rate": (2, 2), "hrv_sdnn": (1, 1), "sleep": (1, 1),
    }  # fmt: skip
    assert imports.rows() == once
    longer = NIGHT + record(HEART_RATE, "2026-01-06 07:30:00 +0100")
    later = imports.bring(apple_xml(longer + NIGHT))
    assert kinds(later)["heart_rate"] == (5, 4)
    assert len(imports.readings("heart_rate")["items"]) == 3
    imports.step(later["id"], "undo")
    assert imports.rows() == once


def test_a_diary_is_written_once_read_by_apps_and_undone(imports):
    own = {"felt_at": "2026-01-01T08:00:00Z", "time_zone": "UTC", "items": {"pain_now": 3}}
    assert imports.ask("PUT", f"/diary/{uuid4()}", json=own).status_code == 201
    before = imports.rows()
    cursor = imports.ask("GET", "/sync").json["next_cursor"]
    brought = imports.bring(DAYLIO.encode())
    assert kinds(brought)["diary_entry"] == (2, 0)
    assert brought["preview"]["left_out_rows"] == [{"reason": "unknown-word", "line": 4}]
    news = imports.ask("GET", "/sync", query_string={"cursor": cursor}).json
    assert {one["items"]["mood"] for one in news["diary_entries"]} == {8, 0}
    assert {one["import_id"] for one in news["diary_entries"]} == {brought["id"]}
    once = imports.rows()
    assert kinds(imports.bring(DAYLIO.encode()))["diary_entry"] == (2, 2)
    assert imports.rows() == once
    imports.step(brought["id"], "undo")
    assert imports.rows() == before
    query = {"cursor": news["next_cursor"]}
    stones = imports.ask("GET", "/sync", query_string=query).json["tombstones"]
    assert [one["kind"] for one in stones] == ["diary-entry"] * 2
    again = imports.bring(DAYLIO.encode())  # what was undone can be brought again
    assert kinds(again)["diary_entry"] == (2, 0)


def test_an_entry_that_the_person_has_changed_is_theirs(imports):
    brought = imports.bring(DAYLIO.encode())
    entries = imports.ask("GET", "/diary").json["items"]
    path = f"/diary/{entries[0]['id']}"
    tag = imports.ask("GET", path).headers["ETag"]
    body = {name: entries[0][name] for name in ("felt_at", "time_zone", "items")} | {"note": "mine"}
    assert imports.ask("PUT", path, json=body, headers={"If-Match": tag}).status_code == 200
    tag = imports.ask("GET", f"/diary/{entries[1]['id']}").headers["ETag"]
    gone = imports.ask("DELETE", f"/diary/{entries[1]['id']}", headers={"If-Match": tag})
    assert gone.status_code == 204
    # What they deleted does not come back, and what they changed is not doubled.
    assert kinds(imports.bring(DAYLIO.encode()))["diary_entry"] == (2, 2)
    undone = imports.step(brought["id"], "undo")
    assert (undone["state"], undone["kept"]) == ("undone", 1)
    assert [one["note"] for one in imports.ask("GET", "/diary").json["items"]] == ["mine"]
    assert kinds(imports.bring(DAYLIO.encode()))["diary_entry"] == (2, 1)


def test_a_table_is_stored_only_once_its_questions_are_answered(imports):
    shown = imports.send(BEARABLE.encode())
    assert {one["code"] for one in shown["preview"]["questions"]} == {"scale"}
    refused = imports.ask("POST", f"/imports/{shown['id']}/confirm")
    assert (refused.status_code, refused.json["type"]) == (
        409,
        "urn:cymba:problem:import-has-questions",
    )
    mapping = shown["mapping"]
    for one in mapping["items"]:
        one["scale"] = {"low": 1, "high": 5}
    for wrong in ({"notes": ["nowhere"]}, {"time_zone": ""}, {"default_time": ""}, {"date": ""}):
        answered = imports.ask("POST", f"/imports/{shown['id']}/mapping", json=mapping | wrong)
        assert answered.status_code == 422, wrong
    assert imports.ask("POST", f"/imports/{shown['id']}/mapping", json=mapping).status_code == 200
    shown = imports.worked(shown["id"])
    assert (shown["state"], shown["preview"]["questions"]) == ("read", [])
    assert shown["preview"]["without_time"] == 2
    imports.step(shown["id"], "confirm")
    assert len(imports.ask("GET", "/diary").json["items"]) == 3


def test_no_figure_is_made_of_what_was_imported(imports, engine, person, app):
    """Its hour or its scale may be an assumption."""
    imports.bring(DAYLIO.encode())
    assert len(imports.ask("GET", "/diary").json["items"]) == 2
    with UnitOfWork(engine) as session:
        assert entry_facts(session, person.id) == []
    days = {"from": "2026-01-01", "to": "2026-01-07"}
    history = imports.ask("GET", "/history", query_string=days).json["items"]
    assert history
    assert not any(day["symptoms"] for day in history)
    found = FlaskClient(app).get("/fhir/R4/Observation", headers=person.headers)
    assert found.status_code == 200
    told = [one["resource"]["resourceType"] for one in found.json.get("entry", [])]
    assert "Observation" not in told


def test_pieces_come_in_any_order_and_again(imports, monkeypatch):
    for module in (lifecycle, staging):
        monkeypatch.setattr(module, "PIECE_BYTES", 500)
    data = apple_xml()
    made = imports.begin(len(data)).json
    cut = [data[at : at + 500] for at in range(0, len(data), 500)]
    order = [*range(len(cut)), 0, len(cut) - 1]
    random.Random(1).shuffle(order)
    for number in order:
        path = f"/imports/{made['id']}/pieces/{number}"
        assert imports.ask("PUT", path, data=cut[number], headers=BYTES).status_code == 200
    assert imports.worked(made["id"])["state"] == "read"
    path = f"/imports/{made['id']}/pieces"
    assert imports.ask("PUT", f"{path}/0", data=b"x", headers=BYTES).status_code == 422
    beyond = imports.ask("PUT", f"{path}/{len(cut)}", data=b"x", headers=BYTES)
    assert beyond.status_code == 404


def test_one_import_at_a_time(imports):
    begun = imports.begin(10).json
    assert imports.begin(10).status_code == 409
    assert imports.ask("POST", f"/imports/{begun['id']}/confirm").status_code == 409
    assert imports.step(begun["id"], "undo")["state"] == "undone"
    stored = imports.bring(apple_zip())
    imports.begin(10)
    # The second may count on what the first one brought.
    assert imports.ask("POST", f"/imports/{stored['id']}/undo").status_code == 409


def test_what_cannot_be_taken_says_why_and_leaves_nothing(imports, engine):
    before = imports.rows()
    for data, code in (
        (b"\x89PNG\r\n\x1a\n\0\0\0\0", "unknown-format"),
        (apple_xml(NIGHT * 3_000)[:-300], "broken-xml"),  # after rows of it were written
    ):
        shown = imports.send(data)
        assert (shown["state"], shown["failure"], shown["preview"]) == ("failed", code, None)
        assert shown["failure_text"]
        assert imports.rows() == before
    few = Imports(imports.client, imports.person, engine, import_readings=2)
    assert few.send(apple_zip())["failure"] == "too-many-readings"
    assert imports.rows() == before
    too_large = imports.begin(Settings().import_bytes + 1)
    assert too_large.status_code == 422


def test_a_worker_that_is_killed_is_followed_by_another(imports, engine, monkeypatch):
    """The rows that it had written are seen by nobody, and are not written twice."""
    made = imports.begin(len(apple_zip())).json
    imports.ask("PUT", f"/imports/{made['id']}/pieces/0", data=apple_zip(), headers=BYTES)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, ExitStack() as stack:
        patched.setattr(staging, "show", killed)
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        imports.worker.run_once()
    with engine.connect() as line:
        assert line.scalar(select(func.count()).select_from(ImportedReading)) == 4
    assert imports.readings("heart_rate")["items"] == []
    assert kinds(imports.worked(made["id"]))["heart_rate"] == (2, 0)


def test_a_file_that_kills_each_reader_is_given_up(imports, engine):
    made = imports.begin(len(apple_zip())).json
    imports.ask("PUT", f"/imports/{made['id']}/pieces/0", data=apple_zip(), headers=BYTES)
    with engine.begin() as line:
        line.execute(update(DataImport).values(attempts=staging.MAX_ATTEMPTS))
    assert imports.worked(made["id"])["failure"] == "gave-up"


def test_one_that_is_dropped_while_it_is_read_ends_undone(imports, engine, monkeypatch):
    read = staging.stage

    def dropping(session, job, readings):
        with UnitOfWork(engine) as other, other.begin():
            other.execute(text("SET LOCAL lock_timeout = 0"))
            other.execute(update(DataImport).values(state="undoing"))
        return read(session, job, readings)

    made = imports.begin(len(apple_zip())).json
    imports.ask("PUT", f"/imports/{made['id']}/pieces/0", data=apple_zip(), headers=BYTES)
    monkeypatch.setattr(staging, "stands", lambda *_: True)
    monkeypatch.setattr(staging, "stage", dropping)
    assert imports.worked(made["id"])["state"] == "undone"
    with engine.connect() as line:
        assert line.scalar(select(func.count()).select_from(ImportedReading)) == 0


def test_erasing_the_person_erases_file_and_readings(imports, engine, person, app):
    imports.bring(apple_zip())
    imports.begin(10)
    keys = app.extensions["cymba"].erasure_keys
    with UnitOfWork(engine) as session, session.begin():
        erase(session, keys, person.id, now=utc_now())
    with engine.connect() as line:
        for table in (DataImport, ImportPiece, ImportedReading, DiaryEntry):
            assert line.scalar(select(func.count()).select_from(table)) == 0
    imports.worker.run_once()


def test_a_file_that_nobody_confirms_goes(imports, engine):
    shown = imports.send(apple_zip())
    with UnitOfWork(engine) as session, session.begin():
        later = utc_now() + timedelta(days=1)
        assert lifecycle.remove_unstored(session, later, 10) == 1
    assert imports.worked(shown["id"])["state"] == "undone"
    with engine.connect() as line:
        for table in (ImportPiece, ImportedReading):
            assert line.scalar(select(func.count()).select_from(table)) == 0


def test_readings_come_by_pages(imports):
    minutes = "".join(
        record(HEART_RATE, f"2026-01-05 07:{minute:02}:00 +0100", value=str(60 + minute))
        for minute in range(25)
    )
    imports.bring(apple_xml(minutes))
    values, query = [], {"limit": 10}
    while True:
        page = imports.readings("heart_rate", **query)
        values += [one["value"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert values == [60.0 + minute for minute in reversed(range(25))]
    some = imports.readings("heart_rate", **{"from": "2026-01-05T06:10:00Z",
                                             "to": "2026-01-05T06:12:00Z"})  # fmt: skip
    assert [one["value"] for one in some["items"]] == [71.0, 70.0]


def test_health_connect_comes_the_same_way(imports, tmp_path):
    brought = imports.bring(health_connect_db(tmp_path))
    assert brought["format"] == "health_connect"
    assert [one["value"] for one in imports.readings("hrv_rmssd")["items"]] == [36.5]
    assert imports.readings("hrv_sdnn")["items"] == []


def test_a_stream_of_pieces_is_a_seekable_file(monkeypatch):
    monkeypatch.setattr(staging, "PIECE_BYTES", 7)
    data = bytes(range(100))
    file = io.BufferedReader(staging.PieceFile(100, lambda at: data[at * 7 : at * 7 + 7]), 16)
    assert file.read() == data
    for at, whence, size in ((3, 0, 20), (-5, 2, 9), (95, 0, 1), (200, 0, 5)):
        plain = io.BytesIO(data)
        plain.seek(at, whence)
        file.seek(at, whence)
        assert file.read(size) == plain.read(size)
