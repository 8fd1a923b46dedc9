"""The archive of a running trial does not show its coming blocks, and can be imported."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, date, datetime

import pytest

from cymba.accounts.tables import Account, AccountAddress, AccountIdUsed
from cymba.database import UnitOfWork
from cymba.devices.provisioning import provision
from cymba.devices.tables import DeviceTenure
from cymba.errors import Rejected
from cymba.insights.experiments import plans, trials
from cymba.insights.tables import Experiment, ExperimentBlock
from cymba.rights.export import export
from cymba.rights.restore import restore

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET, REVEALED = bytes(range(32)), bytes(range(100, 132))
PLAN = {"outcome": "pain_now", "pairs": 6}


@pytest.fixture
def account_id(engine):
    """Somebody with a trial that runs, one block agreed to, and one that has ended."""
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="ada@example.org")
        session.add(account)
        session.flush()
        device_id = next(provision(session, "ear_cymba")).device_id
        session.add(DeviceTenure(device_id=device_id, account_id=account.id, claimed_at=NOW))
        common = {
            "account_id": account.id,
            "device_id": device_id,
            "outcome": "pain_now",
            "pairs": 6,
            "block_days": 1,
            "first_day": date(2026, 3, 2),
            "time_zone": "UTC",
            "plan": PLAN,
            "sealed_at": NOW,
        }
        running = Experiment(**common, seed=SECRET, seal=plans.seal(SECRET, PLAN))
        ended = Experiment(
            **common,
            seed=REVEALED,
            seal=plans.seal(REVEALED, PLAN),
            status="stopped",
            stop_reason="a holiday",
            ended_at=NOW,
        )
        session.add_all([running, ended])
        session.flush()
        session.add(
            ExperimentBlock(experiment_id=running.id, number=0, agreed_at=NOW, programme_version=2)
        )
        return account.id


@pytest.fixture
def archive(engine, account_id):
    with UnitOfWork(engine) as session:
        return b"".join(export(session, account_id, schema_version="1", now=NOW))


def test_the_seed_is_told_once_the_trial_has_ended(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    assert not any(SECRET in data or SECRET.hex().encode() in data for data in members.values())
    rows = map(json.loads, members["tables/experiment.jsonl"].splitlines())
    told = {row["status"]: row for row in rows}
    assert told["running"]["seed"] is None
    assert told["running"]["seal"] == plans.seal(SECRET, PLAN)
    assert told["stopped"]["seed"] == "\\x" + REVEALED.hex()
    (why,) = (
        one["why"]
        for one in json.loads(members["manifest.json"])["left_out"]
        if one["table"] == "experiment"
    )
    assert why.startswith("while a trial runs")


def test_a_trial_that_ran_comes_in_stopped(engine, account_id, archive):
    forget(engine, account_id)
    with UnitOfWork(engine) as session, session.begin():
        restore(session, io.BytesIO(archive), ledger_key=b"k" * 32, schema_version="1")
    with UnitOfWork(engine) as session:
        moved, whole = sorted(trials.mine(session, account_id), key=lambda one: len(one.seed))
        assert (moved.status, moved.seed, moved.result) == ("stopped", b"", None)
        assert moved.seal == plans.seal(SECRET, PLAN)
        assert moved.ended_at is not None
        assert set(trials.agreements(session, moved)) == {0}
        assert {block.arm for block in plans.all_blocks(moved)} == {None}
        assert trials.deviations(session, moved, now=NOW) == []
        assert (whole.seed, whole.stop_reason) == (REVEALED, "a holiday")
        assert trials.running(session, account_id) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"seed": "\\x" + SECRET.hex()}, id="another seed"),
        pytest.param({"seed": "no bytes"}, id="no seed"),
        pytest.param({"seed": None}, id="null"),
        pytest.param({"status": "finished", "seed": "\\x"}, id="finished without its seed"),
        pytest.param({"seal": "0" * 64}, id="another seal"),
        pytest.param({"plan": PLAN | {"pairs": 7}}, id="another plan"),
    ],
)
def test_a_trial_that_is_not_as_it_was_sealed_is_refused(engine, account_id, archive, changed):
    forget(engine, account_id)
    tampered = with_trial(archive, changed)
    with UnitOfWork(engine) as session, pytest.raises(Rejected, match="of its seal"):
        restore(session, tampered, ledger_key=b"k" * 32, schema_version="1")


def forget(engine, account_id):
    """The database as it was before the account."""
    with UnitOfWork(engine) as session, session.begin():
        session.query(DeviceTenure).delete()
        session.query(ExperimentBlock).delete()
        session.query(Experiment).delete()
        session.delete(session.get_one(Account, account_id))
        session.query(AccountIdUsed).delete()
        session.query(AccountAddress).delete()


def with_trial(archive: bytes, changed: dict[str, object]) -> io.BytesIO:
    """The archive with another row of the trial that has ended, and a manifest that fits."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    name = "tables/experiment.jsonl"
    rows = [json.loads(line) for line in members[name].splitlines()]
    rows = [row | changed if row["status"] == "stopped" else row for row in rows]
    members[name] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    manifest = json.loads(members["manifest.json"])
    for member in manifest["members"]:
        if member["name"] == name:
            member["bytes"] = len(members[name])
            member["sha256"] = hashlib.sha256(members[name]).hexdigest()
    members["manifest.json"] = json.dumps(manifest).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as written:
        for member_name, data in members.items():
            written.writestr(member_name, data)
    return made
