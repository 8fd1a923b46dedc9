"""An archive gives the same answers from another Cymba; the audit log says who looked."""

import csv
import hashlib
import io
import json
import time
import zipfile
from datetime import timedelta
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import migrations
from cymba.accounts import audit, consent, sharing
from cymba.accounts.tables import AuditEntry
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.rights.pseudonym import ledger_key
from cymba.rights.restore import restore
from service import create_app
from service.http.services import Services
from service.resources import rights
from tests.kept_database import new_database
from tests.service.conftest import MORNING
from tests.stimulation.worker_steps import compact_due

NOTE = '=HYPERLINK("a note of Ada\'s"), ünïcode\nand a second line'
STREAMED = ("/live", "/export")


@pytest.fixture
def rich(client, make_person, wear, engine, document):
    """A person with something in most tables; gives them and what path parameters name."""
    person = make_person(time_zone="Europe/Berlin")
    worn = wear(person).samples().event("lead_off").samples().end().sum_up()
    with UnitOfWork(engine) as session, session.begin():
        assert compact_due(session, now=worn.now) == 1
    second = wear(person, device_id=worn.device_id, at=MORNING + timedelta(days=1))
    second.samples(5, amplitude_ua=[1, None, 3, 4, 5], unknown_channel=[7] * 5).end().sum_up()
    open_one = wear(person, device_id=worn.device_id, at=MORNING + timedelta(days=2))
    open_one.samples().sum_up()
    guarded = {**person.headers, "If-Match": "*"}
    ids = {"session_id": worn.id, "device_id": worn.device_id}
    for path, changes in {
        f"/v1/sessions/{worn.id}": {"note": NOTE, "excluded": True},
        f"/v1/devices/{worn.device_id}": {"name": "Ear"},
    }.items():
        assert client.patch(path, json=changes, headers=guarded).status_code == 200
    assert client.delete(f"/v1/sessions/{second.id}", headers=guarded).status_code == 204
    for name in ("entry_id", "reminder_id"):
        path = next(path for path in document.api["paths"] if path.endswith("{" + name + "}"))
        operation = document.api["paths"][path]["put"]
        body = operation["requestBody"]["content"]["application/json"]["example"]
        ids[name] = str(uuid4())
        where = path.replace("{" + name + "}", ids[name])
        assert client.put(where, json=body, headers=person.headers).status_code in {200, 201}
    with UnitOfWork(engine) as session, session.begin():
        consent.give(session, person.id, "insights", version="1/en", now=MORNING)
        who = audit.Actor("operator", "ops")
        for number in range(3):
            audit.note(session, person.id, who, "account.read", number=number)
        later = utc_now() + timedelta(days=7)
        sharing.create(
            session, person.id, label="Dr B", scopes=["diary"], expires_at=later, now=utc_now()
        )
    return person, ids


@pytest.fixture
def elsewhere(postgres_server):
    """Another, empty database."""
    with new_database(postgres_server.url) as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


def exported(client, person):
    response = client.get("/v1/account/export", headers=person.headers)
    assert response.status_code == 200
    assert response.mimetype == "application/zip"
    body = response.data
    response.close()
    return zipfile.ZipFile(io.BytesIO(body)), body


def lines(archive, name):
    return [json.loads(line) for line in archive.read(f"tables/{name}.jsonl").splitlines()]


def sheet(archive, name):
    return list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))


def readable(document, ids):
    """The paths of everything that a person can read, streams apart."""
    for path, item in document.api["paths"].items():
        own = item.get("get", {}).get("security") != [] and "get" in item
        if own and not path.endswith(STREAMED) and not path.startswith("/v1/broker"):
            named = {part.strip("{}") for part in path.split("/") if part[:1] == "{"}
            if named <= ids.keys():
                yield path.format_map(ids)


def test_an_import_elsewhere_gives_the_same_answers(
    client, rich, settings, elsewhere, document, monkeypatch
):
    person, ids = rich
    moment = utc_now() + timedelta(seconds=30)
    monkeypatch.setattr(Services, "now", staticmethod(lambda: moment))
    _, body = exported(client, person)
    other = create_app(settings, elsewhere)
    edge = other.extensions["cymba"]
    with UnitOfWork(elsewhere) as session, session.begin():
        restore(
            session,
            io.BytesIO(body),
            ledger_key=edge.erasure_keys.ledger,
            schema_version=migrations.head(),
        )
    with UnitOfWork(elsewhere) as session, session.begin():
        pair = sign_in(session, edge.signer, person.id, moment)
    there = {"Authorization": f"Bearer {pair.access_token}"}
    paths = list(readable(document, ids))
    assert len(paths) >= 20
    told = set()
    for path in paths:
        here_answer = client.get(path, headers=person.headers)
        there_answer = other.test_client().get(path, headers=there)
        assert there_answer.status_code == here_answer.status_code, path
        if path == "/v1/audit":  # when an entry was added here is this database's
            here_log, there_log = here_answer.json["items"], there_answer.json["items"]
            assert [one | {"claimed_at": one["at"]} for one in here_log] == [
                one | {"at": one["claimed_at"]} for one in there_log
            ]
        elif path == "/v1/account/sign-ins":  # nobody is signed in by an import
            assert [one["current"] for one in there_answer.json["items"]] == [True]
        elif here_answer.status_code == 200:
            told.add(path)
            assert there_answer.data == here_answer.data, path
            assert there_answer.headers.get("ETag") == here_answer.headers.get("ETag"), path
    assert {
        "/v1/account",
        "/v1/sessions",
        f"/v1/sessions/{ids['session_id']}",
        f"/v1/sessions/{ids['session_id']}/telemetry",
        f"/v1/sessions/{ids['session_id']}/events",
        f"/v1/devices/{ids['device_id']}",
        "/v1/diary",
        "/v1/sync",
        "/v1/history",
    } <= told


def test_the_manifest_tells_what_is_there(client, rich):
    archive, _ = exported(client, rich[0])
    assert archive.testzip() is None
    assert archive.namelist()[-1] == "manifest.json"
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["schema_version"] == migrations.head()
    members = {member["name"]: member for member in manifest["members"]}
    assert members.keys() == set(archive.namelist()) - {"manifest.json"}
    for name, member in members.items():
        data = archive.read(name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (
            member["bytes"],
            member["sha256"],
        )
        if name.endswith(".jsonl"):
            assert member["rows"] == data.count(b"\n")
    assert {"table": "account", "column": "password_hash"}.items() <= (
        next(one for one in manifest["left_out"] if one["table"] == "account").items()
    )


def test_sheets_can_be_read_and_run_nothing(client, rich):
    person, ids = rich
    archive, _ = exported(client, person)
    sessions = sheet(archive, "sessions.csv")
    assert len(sessions) == 2  # the deleted one is gone
    first = next(row for row in sessions if row["id"] == ids["session_id"])
    assert first["note"] == f"'{NOTE}"
    assert first["started_local"].startswith("2026-03-01 08:59")
    assert first["left_out_of_insights"] == "yes"
    assert {row["entry"] for row in sheet(archive, "diary.csv")} == {ids["entry_id"]}
    assert [row["name"] for row in sheet(archive, "devices.csv")] == ["Ear"]
    actions = [row["action"] for row in sheet(archive, "audit.csv")]
    assert actions[-1] == "account.exported"
    assert next(row["note"] for row in lines(archive, "stimulation_session") if row["note"]) == NOTE


def test_telemetry_is_there_as_the_api_tells_it(client, rich):
    person, ids = rich
    archive, _ = exported(client, person)
    path = f"telemetry/{ids['session_id']}.parquet"
    table = pq.read_table(io.BytesIO(archive.read(path)))
    told = client.get(f"/v1/sessions/{ids['session_id']}/telemetry", headers=person.headers).json
    by_channel = {one["channel"]: one for one in told["series"]}
    rows = table.to_pylist()
    assert {row["channel"] for row in rows} == by_channel.keys()
    for channel, series in by_channel.items():
        values = [row["value"] for row in rows if row["channel"] == channel]
        assert values == series["values"]


def test_nobody_elses_is_in_it(client, rich, make_person, wear):
    person, ids = rich
    other = make_person()
    wear(other).samples().end().sum_up()
    stranger = json.dumps(str(other.id)).encode()
    archive, _ = exported(client, person)
    for name in archive.namelist():
        assert stranger not in archive.read(name)
    for table in ("recording", "frame", "session_extent", "device"):
        devices = {row.get("device_id", row.get("id")) for row in lines(archive, table)}
        assert devices <= {ids["device_id"]}
    mine, _ = exported(client, other)
    assert lines(mine, "diary_entry") == []
    assert len(lines(mine, "frame")) > 0


def test_each_export_is_in_the_audit_log(client, person):
    exported(client, person)
    exported(client, person)
    listed = client.get("/v1/audit", headers=person.headers).json["items"]
    assert [one["action"] for one in listed] == ["account.exported"] * 2


def test_one_archive_at_a_time(app, client, person):
    first = client.get("/v1/account/export", headers=person.headers, buffered=False)
    second = app.test_client().get("/v1/account/export", headers=person.headers)
    assert second.status_code == 503
    assert second.json["type"] == "urn:cymba:problem:too-many-exports"
    first.close()
    assert exported(client, person)


def test_an_archive_that_its_client_stops_reading_lets_go_of_the_database(
    client, person, engine, wear, monkeypatch
):
    worn = wear(person)
    for _ in range(3):  # a session is a piece of its own
        wear(person, device_id=worn.device_id).samples().end().sum_up()
    monkeypatch.setattr(rights, "READ_S", 0.2)
    stopped = client.get("/v1/account/export", headers=person.headers, buffered=False)
    held = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(held).scalar_one():
            time.sleep(0.05)
    with pytest.raises(DBAPIError):
        list(stopped.response)
    stopped.close()
    monkeypatch.undo()
    assert exported(client, person)  # its place is free, and so is its connection


def test_an_archive_that_takes_too_long_to_leave_is_cut_off(client, person, monkeypatch):
    monkeypatch.setattr(rights, "LEAVE_S", 0)
    slow = client.get("/v1/account/export", headers=person.headers, buffered=False)
    with pytest.raises(TimeoutError):
        list(slow.response)
    slow.close()
    monkeypatch.undo()
    assert exported(client, person)


def test_the_audit_log_is_read_by_pages(client, person, engine):
    with UnitOfWork(engine) as session, session.begin():
        for number in range(5):
            who = audit.Actor("share", "a-share")
            audit.note(session, person.id, who, "diary.read", number=number)
    seen, query = [], {"limit": 2}
    while True:
        page = client.get("/v1/audit", query_string=query, headers=person.headers).json
        seen += [one["detail"]["number"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [4, 3, 2, 1, 0]


def test_a_cursor_of_another_is_refused(client, make_person, engine):
    ada, eve = make_person(), make_person()
    with UnitOfWork(engine) as session, session.begin():
        for _ in range(2):
            session.add(
                AuditEntry(
                    account_id=ada.id, actor_kind="system", actor_id="x", action="y", detail={}
                )
            )
    cursor = client.get("/v1/audit?limit=1", headers=ada.headers).json["next_cursor"]
    stolen = client.get("/v1/audit", query_string={"cursor": cursor}, headers=eve.headers)
    assert stolen.status_code == 422


def test_the_ledgers_key_is_the_secrets(app, settings):
    assert app.extensions["cymba"].erasure_keys.ledger == ledger_key(settings.secret_key.encode())
