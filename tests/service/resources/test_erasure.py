"""After an erasure the whole database knows nothing of the person but the ledger's pseudonym."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import ProgrammingError

from cymba.accounts import audit, consent, sharing, throttle
from cymba.accounts.quotas import of_account
from cymba.accounts.rate_limiter import make_key
from cymba.accounts.tables import (
    Account,
    AuditEntry,
    ErasureLedger,
    OutgoingMail,
    ProviderIdentity,
    RefreshToken,
    Share,
    SingleUseToken,
)
from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.anchors import Anchor, BootAnchor, BootKey, add_anchors
from cymba.devices.clocks import to_ms
from cymba.devices.messages import Presence
from cymba.devices.presence import record_presence
from cymba.devices.provisioning import reissue_claim_code
from cymba.devices.tables import ClockAnchor, Device, DeviceProgramme, RetainedWithdrawal
from cymba.errors import NotFound
from cymba.insights.tables import Finding
from cymba.rights import erasure
from cymba.rights.personal_data import PERSONAL_TABLES
from cymba.rights.pseudonym import pseudonym
from cymba.stimulation.ingest.decide import Delivery, Quarantined
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import SessionExtent, StimulationSession, StoredFrame
from tests.end_to_end.parts import wait_until
from tests.lock_waits import is_any_lock_awaited
from tests.service.conftest import MORNING, PROGRAMME
from tests.stimulation.worker_steps import compact_due

NOTE = "words that only this person wrote"
ADDRESS = "203.0.113.77"


def everything(engine):
    """Every value of every table, as text: bytes in hexadecimal and, where it is text, as such."""
    with engine.connect() as connection:
        columns = connection.execute(
            text("""
            SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns AS c
            JOIN information_schema.tables AS t USING (table_schema, table_name)
            WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
            """)
        ).all()
        for table, column, kind in columns:
            as_text = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
            in_hex = f"encode(\"{column}\", 'hex')" if kind == "bytea" else "NULL"
            query = f'SELECT {as_text}, {in_hex} FROM "{table}"'  # noqa: S608 - the catalogue's names
            for row in connection.execute(text(query)):
                for value in row:
                    if value is not None:
                        yield f"{table}.{column}", value


class Marks(NamedTuple):
    """What would identify a person; `also` are other forms that may not be stored either."""

    stored: list[str]
    also: list[str]


def found(engine, marks):
    """Where any of the marks can be read."""
    return {(where, mark) for where, value in everything(engine) for mark in marks if mark in value}


@pytest.fixture
def person(make_person):
    return make_person(time_zone="Asia/Tokyo")


def test_a_sign_in_that_ends_while_the_erasure_waits_erases_nothing(client, engine, person):
    guarded = {**person.headers, "If-Match": "*"}
    with ThreadPoolExecutor(1) as pool:
        with UnitOfWork(engine) as session, session.begin():
            session.get_one(Account, person.id, with_for_update=True)
            asked = pool.submit(client.delete, "/v1/account", headers=guarded)
            wait_until(lambda: is_any_lock_awaited(engine), what="waiting for the account")
            session.execute(update(RefreshToken).values(revoked_at=utc_now()))
        assert asked.result().status_code == 401
    with UnitOfWork(engine) as session:
        assert session.get(Account, person.id) is not None


@pytest.fixture
def device_id(person, hold):
    return hold(person)


@pytest.fixture
def lived(app, client, engine, document, person, device_id, wear):
    """A person with rows in every table; gives what would lead to them."""
    edge = app.extensions["cymba"]
    worn = wear(person, device_id=device_id).samples().event("lead_off").samples().end().sum_up()
    with UnitOfWork(engine) as session, session.begin():
        assert compact_due(session, now=worn.now) == 1
    deleted = wear(person, device_id=device_id, at=MORNING + timedelta(days=1)).end().sum_up()
    unsealed = wear(person, device_id=device_id, at=MORNING + timedelta(days=2)).samples().sum_up()
    unsummed = wear(person, device_id=device_id, at=MORNING + timedelta(days=3)).samples()
    guarded = {**person.headers, "If-Match": "*"}
    assert client.delete(f"/v1/sessions/{deleted.id}", headers=guarded).status_code == 204
    note = client.patch(f"/v1/sessions/{worn.id}", json={"note": NOTE}, headers=guarded)
    assert note.status_code == 200
    for path in ("/v1/diary/{entry_id}", "/v1/reminders/{reminder_id}"):
        operation = document.api["paths"][path]["put"]
        body = operation["requestBody"]["content"]["application/json"]["example"]
        body = body | ({"note": NOTE} if "diary" in path else {"title": NOTE})
        made = path[: path.index("{")] + str(uuid4())
        assert client.put(made, json=body, headers=person.headers).status_code in {200, 201}
    bad = json.dumps({"v": 1, "store": 7, "seq": 900, "sid": str(worn.sid), "oops": NOTE}).encode()
    operation_id = str(uuid4())
    pushed = {
        "id": operation_id,
        "kind": "diary-entry",
        "action": "put",
        "entity_id": str(uuid4()),
        "base_version": 0,
        "fields": {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "items": {"mood": 3}},
    }
    synced = client.post("/v1/sync", json={"operations": [pushed]}, headers=person.headers)
    assert synced.json["answers"][0]["status"] == "applied"
    now = utc_now()
    with UnitOfWork(engine) as session, session.begin():
        outcome = ingest(session, [Delivery(device_id, bad, worn.now, settled=True)]).outcomes
        assert isinstance(outcome[0], Quarantined)
        consent.give(session, person.id, "insights", version="1/en", now=now)
        audit.note(session, person.id, audit.Actor("operator", "ops"), "account.read", note=NOTE)
        expires_at = now + timedelta(days=7)
        sharing.create(
            session, person.id, label=NOTE, scopes=["diary"], expires_at=expires_at, now=now
        )
        record_presence(
            session, device_id, Presence(online=True, store=7, boot=1, sent=5, firmware="1"), now
        )
        session.add_all(
            [
                ProviderIdentity(issuer="https://id.example", subject=NOTE, account_id=person.id),
                SingleUseToken(
                    token_hash=b"t" * 32,
                    account_id=person.id,
                    purpose="reset",
                    payload=person.email,
                    expires_at=now,
                ),
                OutgoingMail(account_id=person.id, recipient=person.email, subject="x", body=NOTE),
                OutgoingMail(recipient=person.email.upper(), subject="y", body=NOTE),
                DeviceProgramme(
                    device_id=device_id,
                    ver=7,
                    account_id=person.id,
                    programme=PROGRAMME | {"site": NOTE},
                    limits={},
                    signature="s",
                    created_at=now,
                ),
                Finding(
                    account_id=person.id,
                    exposure="session",
                    outcome=NOTE[:20],
                    lag=0,
                    tier="primary",
                    grade="collecting",
                    reasons=[],
                    milestone=0,
                    pairs_now=0,
                    days=0,
                    exposure_coverage=0.0,
                    outcome_coverage=0.0,
                    looks=[],
                    method_version="1",
                    input_hash="",
                    changed_at=now,
                ),
            ]
        )
        asked = throttle.ask_sign_in(
            session, edge.throttle_key, email=person.email, address=ADDRESS, now=now
        )
        assert isinstance(asked, throttle.Attempt)
        throttle.count_wrong(session, asked, now)
        claiming.claim(session, person.id, "NO-SUCH-SERIAL", "WRONG", now)
    sids = [one.sid for one in (worn, deleted, unsealed, unsummed)]
    marks = [NOTE, NOTE[:20], str(person.id), person.email, operation_id]
    marks += [one.id for one in (worn, deleted, unsealed)]
    marks += [str(sid) for sid in sids]
    with UnitOfWork(engine) as session:
        tenure = session.scalar(text("SELECT id FROM device_tenure"))
        marks.append(str(tenure))
        assert session.scalar(text("SELECT count(*) FROM rate_limit")) == 5
    marks.append(make_key(throttle.EMAIL, person.email, edge.throttle_key).hex())
    marks.append(of_account(person.id).hex())
    return Marks(marks, [unsummed.id, person.id.hex, *(sid.hex for sid in sids)])


def erase(client, person):
    guarded = {**person.headers, "If-Match": "*"}
    assert client.delete("/v1/account", headers=guarded).status_code == 200


def test_a_search_of_the_whole_database_finds_only_the_pseudonym(
    app, client, engine, person, device_id, lived
):
    # The search can find: it sees every mark somewhere.
    assert {mark for _, mark in found(engine, lived.stored)} == set(lived.stored)
    erase(client, person)
    assert found(engine, [*lived.stored, *lived.also]) == set()
    with UnitOfWork(engine) as session:
        entry = session.scalars(select(ErasureLedger)).one()
        key = app.extensions["cymba"].erasure_keys.ledger
        assert entry.pseudonym == pseudonym(key, person.id)
        assert entry.rows_erased["diary_entry"] == 2
        assert entry.rows_erased["audit_entry"] >= 1
        assert entry.rows_erased["quarantine"] == 1
        assert [row.device_id for row in session.scalars(select(RetainedWithdrawal))] == [device_id]
        for holding in PERSONAL_TABLES:
            if holding.erased:
                count = session.scalar(select(func.count()).select_from(holding.table))
                assert count == 0, holding.name


def test_another_persons_rows_are_as_they_were(client, person, make_person, wear, lived):
    other = make_person()
    wear(other).samples().end().sum_up()
    etag = client.get("/v1/sessions", headers=other.headers).headers["ETag"]
    erase(client, person)
    after = client.get("/v1/sessions", headers={**other.headers, "If-None-Match": etag})
    assert after.status_code == 304
    assert lived


def test_what_a_device_sends_late_of_the_erased_time_is_erased_as_it_comes(
    client, engine, person, make_person, device_id, wear
):
    """The old holder's last boot is anchored; what the device still holds is from before it."""
    offline = wear(person, device_id=device_id, at=MORNING)
    late = [offline.samples_frame() for _ in range(3)]
    later = wear(person, device_id=device_id, at=MORNING + timedelta(days=1)).samples().end()
    later.sum_up()
    erase(client, person)
    heir = make_person()
    with UnitOfWork(engine) as session, session.begin():
        code = reissue_claim_code(session, device_id)
        serial = session.get_one(Device, device_id).serial
        assert isinstance(
            claiming.claim(session, heir.id, serial, code, utc_now()), claiming.Claimed
        )
        payloads = [json.dumps(frame).encode() for frame in late]
        arrived_at = utc_now() + timedelta(hours=1)
        ingest(session, [Delivery(device_id, one, arrived_at, settled=True) for one in payloads])
    offline.sum_up()
    with UnitOfWork(engine) as session:
        for table in (StoredFrame, SessionExtent, StimulationSession):
            assert session.scalars(select(table)).all() == [], table
    assert client.get("/v1/sessions", headers=heir.headers).json["items"] == []


def test_only_the_last_boots_anchors_stay(client, engine, person, device_id):
    with UnitOfWork(engine) as session, session.begin():
        add_anchors(
            session,
            [
                BootAnchor(
                    BootKey(device_id, store, boot),
                    Anchor("exchange", 1000.0, to_ms(MORNING + timedelta(hours=boot)), 10.0),
                )
                for store in (7, 8)
                for boot in (1, 2, 3)
            ],
        )
    erase(client, person)
    with UnitOfWork(engine) as session:
        left = session.execute(select(ClockAnchor.store, ClockAnchor.boot)).all()
    assert sorted(map(tuple, left)) == [(7, 3), (8, 3)]


def test_an_earlier_holders_erasure_leaves_the_later_holders_device(
    client, engine, person, make_person, device_id, wear
):
    wear(person, device_id=device_id).samples().end().sum_up()
    heir = make_person()
    with UnitOfWork(engine) as session, session.begin():
        code = reissue_claim_code(session, device_id)
        serial = session.get_one(Device, device_id).serial
        claiming.claim(session, heir.id, serial, code, MORNING + timedelta(days=2))
        record_presence(
            session, device_id, Presence(online=True, store=7, boot=9, sent=5), utc_now()
        )
    own = wear(heir, device_id=device_id, at=MORNING + timedelta(days=3)).samples().end().sum_up()
    unsummed = wear(heir, device_id=device_id, at=MORNING + timedelta(days=4)).samples().end()
    before = client.get(f"/v1/devices/{device_id}", headers=heir.headers).data
    erase(client, person)
    assert client.get(f"/v1/devices/{device_id}", headers=heir.headers).data == before
    listed = client.get("/v1/sessions", headers=heir.headers).json["items"]
    assert [one["id"] for one in listed] == [own.id]
    unsummed.sum_up()
    listed = client.get("/v1/sessions", headers=heir.headers).json["items"]
    assert {one["id"] for one in listed} == {own.id, unsummed.id}


def test_versions_of_programmes_stay_used(client, engine, person, device_id, lived):
    erase(client, person)
    with UnitOfWork(engine) as session:
        assert session.get_one(Device, device_id).erased_ver == 7
        assert session.scalars(select(DeviceProgramme)).all() == []
    assert lived


def test_shares_to_an_erased_clinician_end(client, engine, person, make_person):
    other = make_person()
    with UnitOfWork(engine) as session, session.begin():
        share, _ = sharing.create(
            session,
            other.id,
            label="Dr",
            scopes=["diary"],
            expires_at=utc_now() + timedelta(days=1),
            clinician_email=person.email,
            now=utc_now(),
        )
        share_id = share.id
    erase(client, person)
    with UnitOfWork(engine) as session:
        share = session.get_one(Share, share_id)
        assert share.clinician_email is None
        assert share.revoked_at is not None


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry",
     "DELETE FROM account"],
)  # fmt: skip
def test_the_audit_log_only_grows(engine, person, statement):
    with UnitOfWork(engine) as session, session.begin():
        audit.note(session, person.id, audit.Actor("system", "x"), "y")
    with UnitOfWork(engine) as session:
        with pytest.raises(ProgrammingError, match="append-only"):
            session.execute(text(statement))
        session.rollback()
        assert session.scalars(select(AuditEntry.action)).all() == ["y"]
        session.execute(text("SET LOCAL cymba.erasing = 'on'"))
        with pytest.raises(ProgrammingError, match="append-only"):
            session.execute(text("TRUNCATE audit_entry"))


def test_an_erased_viewer_is_not_named_in_the_logs_of_others(client, engine, person, make_person):
    other = make_person()
    with UnitOfWork(engine) as session, session.begin():
        who = audit.Actor("share", "a-share")
        audit.note(session, other.id, who, "diary.read", clinician=str(person.id))
        audit.note(session, other.id, who, "diary.read", clinician="somebody-else")
    erase(client, person)
    log = client.get("/v1/audit", headers=other.headers).json["items"]
    assert [one["detail"]["clinician"] for one in log] == ["somebody-else", "erased"]


def test_the_permission_to_remove_ends_with_its_transaction(engine, person):
    with UnitOfWork(engine) as session:
        session.execute(text("SET LOCAL cymba.erasing = 'on'"))
        session.commit()
        audit.note(session, person.id, audit.Actor("system", "x"), "y")
        session.commit()
        with pytest.raises(ProgrammingError, match="append-only"):
            session.execute(text("DELETE FROM audit_entry"))


def test_an_account_that_is_gone_is_not_erased_twice(app, client, engine, person):
    erase(client, person)
    with UnitOfWork(engine) as session, pytest.raises(NotFound):
        erasure.erase(
            session, app.extensions["cymba"].erasure_keys, UUID(str(person.id)), now=utc_now()
        )
    with UnitOfWork(engine) as session:
        assert session.get(Account, person.id) is None
