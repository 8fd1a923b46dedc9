"""The archive of a trial that runs does not tell its coming blocks, and can be taken in."""

import io
import json
import zipfile
from datetime import UTC, date, datetime

import pytest
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.provisioning import provision
from cymba.devices.tables import DeviceTenure
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
    with Session(engine) as session, session.begin():
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
    with Session(engine) as session:
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
    with Session(engine) as session, session.begin():
        session.query(DeviceTenure).delete()
        session.delete(session.get_one(Account, account_id))
    with Session(engine) as session, session.begin():
        restore(session, io.BytesIO(archive), ledger_key=b"k" * 32, schema_version="1")
    with Session(engine) as session:
        moved, whole = sorted(trials.mine(session, account_id), key=lambda one: len(one.seed))
        assert (moved.status, moved.seed, moved.result) == ("stopped", b"", None)
        assert moved.seal == plans.seal(SECRET, PLAN)
        assert moved.ended_at is not None
        assert set(trials.agreements(session, moved)) == {0}
        assert {block.arm for block in trials.all_blocks(moved)} == {None}
        assert trials.deviations(session, moved, now=NOW) == []
        assert (whole.seed, whole.stop_reason) == (REVEALED, "a holiday")
        assert trials.running(session, account_id) is None
