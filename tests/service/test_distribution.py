"""On tables that lie in parts by the keys of several nodes, a statement asks one part of each."""

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

import migrations
from cymba.accounts import address_directory, profile
from cymba.database import UnitOfWork, make_engine, reading, utc_now
from cymba.devices.presence import record_seen
from cymba.devices.publication import publish_again, publish_unreported
from cymba.devices.tables import DeviceTenure
from cymba.distribution import PLACES, TablePlace
from cymba.errors import Conflict, NotFound
from cymba.imports import staging
from cymba.imports.tables import DataImport, ImportedReading
from cymba.insights.experiments import trials
from cymba.parts import parts
from cymba.rights.erasure import erase
from cymba.rights.export import export
from cymba.rights.personal_data import PERSONAL_TABLES
from cymba.rights.restore import restore
from cymba.rights.retention import RULES, remove_some
from cymba.settings import FIRST_CELL, Settings
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.fast_path import append
from cymba.stimulation.session import summarising
from ops import distribution, schema
from ops.postgres import EmbeddedPostgres
from service.http.services import Services
from tests.kept_database import new_database
from tests.partitioned import AskedParts, Partitions
from tests.service.bodies import FAINTED, operation
from tests.service.conftest import ApiUser, Worn, sign_up
from workers.session_worker import SessionWorker

ONLINE = text(
    "INSERT INTO device_presence (device_id, online, store, boot, sent_ms, changed_at, seen_at)"
    " SELECT id, true, 0, 0, 0, now(), now() FROM device ON CONFLICT DO NOTHING"
)
# By what they contain, the statements that ask every part, and why.
OF_ALL_PARTS = {
    "stimulation_session.account_id =": "a person's sessions lie with their devices",
    "s.account_id =": "ditto",
    "FROM session_sums AS s": "sums of several sessions, each by its key",
    "retiming.asked": "the session worker looks for work",
    "SELECT DISTINCT t.device_id": "ditto",
}
# What answers with something else than a person's rows, or with all of them at once.
NOT_HOT = ("/v1/account/export", "/v1/operator/", "/v1/report", "/v1/insights", "/v1/openapi.json")


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The tables are laid by a run that breaks off again and again."""
    with new_database(postgres_server.url) as url:
        engine, nodes = make_engine(url), Partitions()
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO rate_limit VALUES ('kept', 1, now())"))
        assert distribution.faults(engine, nodes)
        steps: list[str] = []

        def break_off(what: str) -> None:
            steps.append(what)
            if len(steps) % 60 == 0:
                raise KeyboardInterrupt

        while True:
            try:
                distribution.distribute(engine, nodes, on_step=break_off)
            except KeyboardInterrupt:
                continue
            break
        assert len(steps) > 60
        engine.dispose()
        yield url


def test_tables_that_were_laid_lie_as_they_should(engine: Engine) -> None:
    assert distribution.faults(engine, Partitions()) == []
    with engine.begin() as connection:
        assert connection.scalar(text("DELETE FROM rate_limit RETURNING level")) == 1  # it was kept
    with engine.connect() as connection:  # rolled back
        connection.execute(text("ALTER TABLE quarantine DROP CONSTRAINT pk_quarantine"))
        far = "ADD CONSTRAINT far FOREIGN KEY (device_id) REFERENCES device (id)"
        connection.execute(text(f"ALTER TABLE remark {far}"))
        connection.execute(text("DROP TRIGGER audit_entry_entered_now ON audit_entry"))
        connection.execute(text("DROP TABLE frame"))
        connection.execute(text("CREATE TABLE frame (device_id text, store bigint, seq bigint)"))
        found = distribution.faults_seen(connection, Partitions())
    assert found == [
        "frame: lies on one node",
        "frame: pk_frame does not hold across nodes",
        "quarantine: pk_quarantine does not hold across nodes",
        "audit_entry: audit_entry_entered_now is wanting",
        "remark: far crosses nodes",
    ]


def test_each_statement_asks_one_part_of_each_table(
    app: Flask,
    engine: Engine,
    person: ApiUser,
    wear: Callable[..., Worn],
) -> None:
    asked, client = AskedParts(), app.test_client()
    with asked.of(engine):
        worn = wear(person)
        with reading(engine) as line:
            frame = worn.samples_frame(60)
            frame_alone = json.dumps(frame).encode()  # with no news of its clock
            delivery = Delivery(worn.device_id, frame_alone, worn.now, True)
            assert append(line, [delivery], AnchorCache()).stored == [delivery]
        worn.samples(60).sum_up().samples(60).end().sum_up()
        worker = SessionWorker(engine, Settings(), clock=lambda: worn.now + timedelta(days=2))
        assert worker.run_once().failed == []
        push = {"operations": [operation("diary-entry", fields=FAINTED)]}
        assert client.post("/v1/sync", json=push, headers=person.headers).status_code == 200
        for path in paths(app, session_id=worn.id, device_id=worn.device_id):
            answer = client.get(path, headers=person.headers)
            assert answer.status_code in {200, 401}, path
    far = {
        " ".join(statement.split()): {name: len(found) for name, found in tables.items()}
        for statement, tables in asked.parts.items()
        if any(len(found) > 1 for found in tables.values())
    }
    unknown = {
        statement: tables
        for statement, tables in far.items()
        if not any(what in statement for what in OF_ALL_PARTS)
    }
    assert unknown == {}
    of_person = [tables for one, tables in far.items() if "stimulation_session.account_id" in one]
    assert {name for one in of_person for name, parts in one.items() if parts > 1} == {
        "stimulation_session"
    }
    assert [what for what in OF_ALL_PARTS if not any(what in one for one in far)] == []
    assert len(asked.parts) > 80


def test_a_person_of_several_parts_leaves_and_comes_back(
    app: Flask,
    engine: Engine,
    person: ApiUser,
    hold: Callable[..., str],
    wear: Callable[..., Worn],
) -> None:
    client, asked, device_ids = app.test_client(), AskedParts(), [hold(person)]
    with UnitOfWork(engine) as session:
        while len(parts(session, device_ids)) < 2:
            device_ids.append(hold(person))
    for device_id in device_ids:
        wear(person, device_id=device_id).samples(60).end().sum_up()
    wear(person, device_id=device_ids[0]).samples(60).sum_up()  # its sums are kept
    push = {"operations": [operation("diary-entry", fields=FAINTED)]}
    assert client.post("/v1/sync", json=push, headers=person.headers).status_code == 200
    with UnitOfWork(engine) as session, session.begin():
        bring_reading(session, person.id)
    edge: Services = app.extensions["cymba"]
    keys, head = edge.erasure_keys, migrations.head()
    with asked.of(engine):
        archive = client.get("/v1/account/export", headers=person.headers).data
        guarded = {**person.headers, "If-Match": "*"}
        assert client.delete("/v1/account", headers=guarded).status_code == 200
        assert traces(engine, person.id, device_ids) == {}
        with UnitOfWork(engine) as session, session.begin():
            for table in ("erasure_ledger", "account_id_used", "device_tenure", "clock_anchor",
                          "flash_store"):  # fmt: skip
                session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - as in another database
            file = io.BytesIO(archive)
            restore(session, file, ledger_key=keys.ledger, schema_version=head)
    with UnitOfWork(engine) as session:
        again = b"".join(export(session, person.id, schema_version=head, now=utc_now()))
    assert tables_of(again) == tables_of(archive)
    with UnitOfWork(engine) as session, session.begin():
        erase(session, keys, person.id, now=utc_now())
    assert traces(engine, person.id, device_ids) == {}
    assert asked.refused() == []
    of_accounts = {name for name, place in PLACES.items() if place.group == "account"}
    far = [
        statement
        for statement, tables in asked.parts.items()
        if any(len(tables[name]) > 1 for name in tables.keys() & of_accounts)
    ]
    assert len(far) == 1
    assert "erase_account" in far[0]  # the person's name goes from the logs of others


def test_nothing_is_written_for_a_person_who_is_erased_meanwhile(
    app: Flask, engine: Engine, person: ApiUser, wear: Callable[..., Worn]
) -> None:
    """A reference of one PostgreSQL would refuse it."""
    worn, keys = wear(person).samples(60), app.extensions["cymba"].erasure_keys
    write = summarising._write

    def erase_first(session: Session, rows: list[dict[str, Any]]) -> set[UUID]:
        with UnitOfWork(engine) as other, other.begin():
            erase(other, keys, person.id, now=utc_now())
        return write(session, rows)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(summarising, "_write", erase_first)
        with pytest.raises(NotFound):
            worn.sum_up()
    assert traces(engine, person.id, []) == {}
    worn.sum_up()
    assert traces(engine, person.id, [worn.device_id]) == {}
    tenure = DeviceTenure(device_id=worn.device_id, account_id=person.id, claimed_at=utc_now())
    with UnitOfWork(engine) as session:
        session.add(tenure)
        with pytest.raises(NotFound):
            session.flush()


def bring_reading(session: Session, account_id: UUID) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    brought = DataImport(
        id=uuid4(), account_id=account_id, bytes=1, time_zone="UTC", state="stored",
        created_at=at, changed_at=at,
    )  # fmt: skip
    reading = ImportedReading(
        account_id=account_id, kind="heart_rate", started_at=at, digest=b"d", import_id=brought.id,
        ended_at=at, value=60.0, source="a watch",
    )  # fmt: skip
    session.add_all([brought, reading])


def traces(engine: Engine, account_id: UUID, device_ids: list[str]) -> dict[str, int]:
    """The rows that are still there of a person, by table."""
    of_devices = ("frame", "recording", "session_extent", "stimulation_session", "quarantine")
    with UnitOfWork(engine) as session:
        found = {
            one.name: session.scalar(
                select(func.count())
                .select_from(one.table)
                .where(
                    one.table.c.device_id.in_(device_ids)
                    if one.name in of_devices
                    else one.whose(account_id)
                )
            )
            for one in PERSONAL_TABLES
        }
        found["session_sums"] = session.scalar(text("SELECT count(*) FROM session_sums"))
    return {name: count for name, count in found.items() if count}


def tables_of(archive: bytes) -> dict[str, bytes]:
    """What the archive holds of the tables that an import writes as they were."""
    changed = {"account", "audit_entry", "device"}
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {
            one.name: opened.read(f"tables/{one.name}.jsonl")
            for one in PERSONAL_TABLES
            if one.imported and one.name not in changed
        }


def test_signing_in_and_locking_rows_ask_one_part_of_each_table(
    app: Flask,
    engine: Engine,
    person: ApiUser,
    hold: Callable[..., str],
    wear: Callable[..., Worn],
) -> None:
    """Citus refuses to lock rows unless it knows beforehand that they lie in one part."""
    client, given = app.test_client(), {"password": "long enough words"}
    given["email"] = f"{uuid4().hex}@example.org"
    coming_in, asked = AskedParts(), AskedParts()
    with coming_in.of(engine):
        assert sign_up(client, given).status_code == 201
        signed_in = client.post("/v1/auth/token", json=given).json
    assert [
        one for one in coming_in.parts.values() if any(len(of) > 1 for of in one.values())
    ] == []
    worn, device_ids = wear(person), [hold(person)]
    with UnitOfWork(engine) as session:
        while len(of := parts(session, device_ids)) < 2:
            device_ids.append(hold(person))
    device_ids = [min(one or ()) for one in of]  # a generic plan finds no parts by a list of two
    with UnitOfWork(engine) as session, session.begin():
        import_id = uuid4()
        file = DataImport(id=import_id, account_id=person.id, bytes=1, time_zone="UTC")
        file.state, file.created_at, file.changed_at = "uploading", worn.now, worn.now
        session.add(file)
        session.execute(ONLINE)
    with asked.of(engine):
        refresh = {"refresh_token": signed_in["refresh_token"]}
        assert client.post("/v1/auth/refresh", json=refresh).status_code == 200
        with UnitOfWork(engine) as session, session.begin():
            record_seen(session, {worn.device_id: worn.now})
            with pytest.raises(NotFound):
                trials.get(session, person.id, import_id, lock=True)
            assert staging.take(session, import_id) is None
            publish_again(session, device_ids)
            publish_unreported(session, FIRST_CELL, worn.now)
            later = utc_now() + timedelta(days=9_999)
            for rule in RULES:
                count = remove_some(session, rule, Settings(), now=later)
                assert count > 0 or rule.name != "imports"
    assert asked.refused() == []


@pytest.mark.parametrize("first_keeps_it", [True, False])
def test_of_two_who_take_an_address_at_once_one_has_it(
    engine: Engine, first_keeps_it: bool
) -> None:
    email = f"{uuid4().hex}@example.org"
    told: list[str] = []

    def come_second() -> None:
        try:
            with UnitOfWork(engine) as session, session.begin():
                profile.enter(session, email.upper())
            told.append("entered")
        except Conflict as conflict:
            told.append(conflict.code)

    with UnitOfWork(engine) as session:
        profile.enter(session, email)
        second = threading.Thread(target=come_second)
        second.start()
        with engine.connect() as looking:
            while second.is_alive() and not looking.scalar(
                text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            ):
                pass
        session.commit() if first_keeps_it else session.rollback()
    second.join()
    assert told == ["email-taken" if first_keeps_it else "entered"]
    with UnitOfWork(engine) as session:
        found = profile.find_by_email(session, email)
        assert found is not None
        assert found.email == (email if first_keeps_it else email.upper())


def test_an_address_that_was_given_up_is_free_and_one_that_was_taken_is_not(
    engine: Engine,
) -> None:
    one, two, three = (f"{uuid4().hex}@example.org" for _ in range(3))
    with UnitOfWork(engine) as session, session.begin():
        ada, eve = (profile.enter(session, email).id for email in (one, two))
    with UnitOfWork(engine) as session, pytest.raises(Conflict, match="has an account already"):
        profile.move(session, profile.lock(session, eve), one.upper())
    with UnitOfWork(engine) as session, session.begin():
        profile.move(session, profile.lock(session, ada), three)
        profile.move(session, profile.lock(session, eve), one.upper())
    with UnitOfWork(engine) as session:
        found = [profile.find_by_email(session, email) for email in (one, two, three)]
        assert [account and account.id for account in found] == [eve, None, ada]
        assert address_directory.count_missing(session) == 0


def test_tables_that_were_laid_by_the_version_before_are_migrated_where_they_lie(
    engine: Engine,
) -> None:
    """They had no directory of addresses, and counters lay by their keys."""
    email, parts = f"{uuid4().hex}@example.org", Partitions()
    with UnitOfWork(engine) as session, session.begin():
        account_id = profile.enter(session, email).id
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO rate_limit VALUES ('of before', 1, now())"))
        parts.place(connection, "rate_limit", TablePlace("key"), None)
    schema.downgrade(engine, "0045")
    assert "account_address: lies on one node" in distribution.faults(engine, parts)
    upgraded = distribution.upgrade(engine, parts, wait_s=60)
    assert isinstance(upgraded, schema.Upgraded)
    assert upgraded.applied[:2] == ("0046", "0047")
    assert distribution.faults(engine, parts) == []
    with UnitOfWork(engine) as session:
        assert address_directory.who_has(session, email) == [account_id]
        assert address_directory.count_missing(session) == 0
        level = session.scalar(text("SELECT level FROM rate_limit WHERE key = 'of before'"))
        assert level == 1


def paths(app: Flask, **given: str) -> Iterator[str]:
    """Of everything that a person can read."""
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.rule.startswith(NOT_HOT):
            continue
        if (
            rule.rule.startswith("/v1")
            and rule.arguments <= given.keys()
            and "live" not in rule.rule
        ):
            yield app.url_map.bind("").build(rule.endpoint, {k: given[k] for k in rule.arguments})
