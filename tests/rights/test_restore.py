"""An archive that does not go together is refused as a whole, with its reason."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from cymba.accounts.profile import register
from cymba.accounts.tables import (
    Account,
    AccountAddress,
    AccountIdUsed,
    AuditEntry,
    ErasureLedger,
)
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import provision
from cymba.devices.tables import Device, DeviceTenure
from cymba.diary.tables import DiaryEntry
from cymba.errors import Conflict, NotFound, Rejected
from cymba.rights.export import MANIFEST, ExportProgress, export
from cymba.rights.pseudonym import pseudonym
from cymba.rights.restore import restore

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = b"k" * 32
SCHEMA = "0001"


@pytest.fixture
def ada(engine):
    """An account with a device and a diary entry; gives its id."""
    with UnitOfWork(engine) as session, session.begin():
        account_id = register(session, email="ada@example.org", password="long enough words").id
        device_id = next(provision(session, "ear_cymba")).device_id
        session.add(DeviceTenure(device_id=device_id, account_id=account_id, claimed_at=NOW))
        session.add(
            DiaryEntry(
                id=uuid4(),
                account_id=account_id,
                felt_at=NOW,
                time_zone="UTC",
                items={"sleep_hours": 7},
                written_at=NOW,
                version=1,
                field_versions={},
            )
        )
    return account_id


@pytest.fixture
def archive(engine, ada):
    """The members of the account's archive, by name."""
    with UnitOfWork(engine) as session:
        body = b"".join(export(session, ada, schema_version=SCHEMA, now=NOW))
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture
def forgotten(engine, ada, archive):
    """The database as it was before the account, its device apart."""
    del archive
    with UnitOfWork(engine) as session, session.begin():
        for of_it in (DeviceTenure, AccountAddress):  # in parts no reference takes them along
            session.query(of_it).delete()
        session.delete(session.get_one(Account, ada))
        session.query(AccountIdUsed).delete()


def packed(members):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    return body


def changed(members, table, change):
    """The archive with a table's rows changed, and a manifest that agrees with them."""
    name = f"tables/{table}.jsonl"
    rows = [json.loads(line) for line in members[name].splitlines()]
    data = b"".join(json.dumps(row).encode() + b"\n" for row in change(rows))
    manifest = json.loads(members[MANIFEST])
    for listed in manifest["members"]:
        if listed["name"] == name:
            listed |= {
                "rows": data.count(b"\n"),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    return {**members, name: data, MANIFEST: json.dumps(manifest)}


def taken_in(engine, body, **more):
    options = {"ledger_key": KEY, "schema_version": SCHEMA} | more
    with UnitOfWork(engine) as session, session.begin():
        return restore(session, body, **options)


def accounts(engine):
    with UnitOfWork(engine) as session:
        return session.scalar(select(func.count()).select_from(Account))


@pytest.mark.usefixtures("forgotten")
def test_it_comes_back(engine, ada, archive):
    # What is there for other systems to read says nothing that the tables do not.
    assert {"fhir/Observation.ndjson", "open_mhealth/ieee_total-sleep-time_1.0.ndjson"} <= set(
        archive
    )
    steps: list[ExportProgress] = []
    restored = taken_in(engine, packed(archive), progress=steps.append)
    assert restored.account_id == ada
    assert (restored.rows["account"], restored.rows["device_tenure"]) == (1, 1)
    assert restored.rows["diary_entry"] == 1
    assert "refresh_token" not in restored.rows
    assert steps[-1].done == steps[-1].total
    with UnitOfWork(engine) as session:
        assert session.get_one(Account, ada).email == "ada@example.org"
        assert session.scalars(select(DeviceTenure.account_id)).all() == [ada]
        assert session.scalar(select(Device.secret_hash)) is not None  # the inventory's own


@pytest.mark.usefixtures("forgotten")
def test_an_entry_of_the_log_is_of_now_and_keeps_what_the_archive_says(engine, ada, archive):
    """Twice: what comes from an archive's archive keeps the first one's word."""
    row = {"id": 7, "account_id": str(ada), "actor_kind": "person", "actor_id": str(ada),
           "detail": {}}  # fmt: skip
    then, long_ago = "2026-02-01T10:00:00+00:00", "2025-02-01T10:00:00+00:00"
    log = [row | {"action": "a", "at": then, "claimed_at": None},
           row | {"action": "b", "at": then, "claimed_at": long_ago}]  # fmt: skip
    began = utc_now()
    taken_in(engine, packed(changed(archive, "audit_entry", lambda _: log)))
    with UnitOfWork(engine) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        assert all(entry.at >= began for entry in entries)
        assert [entry.claimed_at.isoformat() for entry in entries] == [then, long_ago]


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("account", lambda rows: [rows[0] | {"id": str(uuid4())}], "of another account"),
        ("account", lambda rows: [rows[0] | {"password_hash": "x"}], "no column password_hash"),
        ("account", lambda rows: [rows[0] | {"is_admin": True}], "no column is_admin"),
        ("device_tenure", lambda rows: [rows[0] | {"account_id": str(uuid4())}], "another account"),
        (
            "device_tenure",
            lambda rows: [rows[0] | {"device_id": "somebody-elses"}],
            "not in the archive",
        ),
        ("device", lambda _: [["not", "an", "object"]], "not a JSON object"),
        (
            "stimulation_session",
            lambda _: [{"id": str(uuid4()), "device_id": None, "sid": "x"}],
            "does not follow from its device",
        ),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_rows_that_are_not_the_persons_are_refused(engine, archive, table, change, reason):
    with pytest.raises(Rejected, match=reason) as refused:
        taken_in(engine, packed(changed(archive, table, change)))
    assert refused.value.code == "bad-archive"
    assert accounts(engine) == 0


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("account", lambda rows: [rows[0] | {"email": None}]),
        ("account", lambda rows: [rows[0] | {"created_at": "yesterday evening"}]),
        ("device_tenure", lambda rows: rows * 2),
        ("device", lambda rows: [rows[0] | {"serial": "another"}]),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_rows_that_the_database_cannot_hold_are_refused(engine, archive, table, change):
    with pytest.raises(Conflict) as refused:
        taken_in(engine, packed(changed(archive, table, change)))
    assert refused.value.code == "archive-conflict"
    assert accounts(engine) == 0


@pytest.mark.usefixtures("forgotten")
def test_a_member_that_is_not_as_the_manifest_says(engine, archive):
    name = "tables/account.jsonl"
    other = archive[name].replace(b"ada@example.org", b"eve@example.org")
    with pytest.raises(Rejected, match="differs from its size or checksum"):
        taken_in(engine, packed(archive | {name: other}))
    assert accounts(engine) == 0


@pytest.mark.parametrize("name", [MANIFEST, "tables/account.jsonl", "tables/frame.jsonl"])
@pytest.mark.usefixtures("forgotten")
def test_a_member_that_is_missing(engine, archive, name):
    del archive[name]
    with pytest.raises(Rejected, match="missing"):
        taken_in(engine, packed(archive))


@pytest.mark.usefixtures("forgotten")
def test_another_schema_is_refused(engine, archive):
    with pytest.raises(Rejected) as refused:
        taken_in(engine, packed(archive), schema_version="9999")
    assert refused.value.code == "schema-mismatch"


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"format": "x"}', "\udcff"])
@pytest.mark.usefixtures("forgotten")
def test_a_manifest_that_is_none(engine, archive, manifest):
    body = packed(archive | {MANIFEST: manifest.encode("utf-8", "surrogateescape")})
    with pytest.raises(Rejected, match="manifest"):
        taken_in(engine, body)


@pytest.mark.parametrize("cut", [0, 10, 1000, -30])
@pytest.mark.usefixtures("forgotten")
def test_an_archive_that_was_cut_off(engine, archive, cut):
    body = packed(archive).getvalue()
    with pytest.raises(Rejected) as refused:
        taken_in(engine, io.BytesIO(body[:cut]))
    assert refused.value.code == "bad-archive"


@pytest.mark.usefixtures("forgotten")
def test_a_byte_that_was_changed(engine, archive):
    body = bytearray(packed(archive).getvalue())
    at = body.index(b"ada@example.org")
    body[at] ^= 1
    with pytest.raises(Rejected) as refused:
        taken_in(engine, io.BytesIO(bytes(body)))
    assert refused.value.code == "bad-archive"
    assert accounts(engine) == 0


def test_an_account_that_is_there(engine, archive):
    with pytest.raises(Conflict) as refused:
        taken_in(engine, packed(archive))
    assert refused.value.code == "account-exists"


@pytest.mark.usefixtures("forgotten")
def test_an_address_that_is_taken(engine, archive):
    with UnitOfWork(engine) as session, session.begin():
        register(session, email="ADA@example.org", password="long enough words")
    with pytest.raises(Conflict) as refused:
        taken_in(engine, packed(archive))
    assert refused.value.code == "archive-conflict"


@pytest.mark.usefixtures("forgotten")
def test_a_device_that_somebody_else_holds(engine, archive):
    with UnitOfWork(engine) as session, session.begin():
        other = register(session, email="eve@example.org", password="long enough words").id
        device_id = session.scalars(select(Device.id)).one()
        session.add(DeviceTenure(device_id=device_id, account_id=other, claimed_at=NOW))
    with pytest.raises(Conflict, match="uq_device_tenure_held"):
        taken_in(engine, packed(archive))


@pytest.mark.usefixtures("forgotten")
def test_a_person_who_was_erased_here(engine, ada, archive):
    with UnitOfWork(engine) as session, session.begin():
        name = pseudonym(KEY, ada)
        session.add(ErasureLedger(pseudonym=name, erased_at=NOW, rows_erased={}))
    with pytest.raises(Conflict) as refused:
        taken_in(engine, packed(archive))
    assert refused.value.code == "account-erased"


def test_there_is_nothing_to_export_of_nobody(engine):
    with UnitOfWork(engine) as session, pytest.raises(NotFound):
        next(export(session, uuid4(), schema_version=SCHEMA, now=NOW))


def test_the_steps_add_up(engine, ada):
    steps: list[ExportProgress] = []
    with UnitOfWork(engine) as session:
        for _ in export(session, ada, schema_version=SCHEMA, now=NOW, progress=steps.append):
            pass
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total
