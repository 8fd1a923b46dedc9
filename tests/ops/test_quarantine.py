"""An operator's view of what was refused."""

import json
import subprocess
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from cymba.accounts.profile import register
from cymba.database import utc_now
from cymba.devices.claiming import Claimed, claim
from cymba.devices.provisioning import provision
from cymba.stimulation.ingest.decide import Delivery, Quarantined
from cymba.stimulation.ingest.ingest import ingest
from ops.exits import Exit

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def refused(session: Session) -> str:
    """A claimed device with one frame in quarantine; its id."""
    (device,) = provision(session, "ear_clip", 1)
    account = register(session, email="a@example.org", password="correct horse battery")
    claimed = claim(session, account.id, device.serial, device.claim_code, utc_now())
    assert isinstance(claimed, Claimed)
    frame = {"v": 9, "store": 1, "seq": 1, "boot": 1, "kind": "samples", "up": 1}
    (outcome,) = ingest(
        session, [Delivery(device.device_id, json.dumps(frame).encode(), utc_now(), True)]
    ).outcomes
    assert isinstance(outcome, Quarantined)
    session.commit()
    return device.device_id


def test_list_show_and_replay(cymba: Run, settings: dict[str, str], refused: str) -> None:
    listed = cymba("quarantine", "list", settings=settings)
    assert listed.returncode == Exit.DONE
    (line,) = listed.stdout.splitlines()
    number, _, _, device_id, key, code, times, *_ = line.split()
    assert (device_id, key, code, times) == (refused, "1/1", "unsupported-version", "×1")
    shown = cymba("quarantine", "show", number, settings=settings)
    assert shown.returncode == Exit.DONE
    assert json.loads(shown.stdout.splitlines()[-1])["v"] == 9
    raw = cymba("quarantine", "show", number, "--raw", settings=settings)
    assert json.loads(raw.stdout)["seq"] == 1
    again = cymba("quarantine", "replay", "--all", settings=settings)
    assert again.returncode == Exit.UNMET
    assert "unsupported-version" in again.stdout
    assert "1 of 1 still wait" in again.stderr


def test_nothing_to_show(cymba: Run, settings: dict[str, str], refused: str) -> None:
    none = cymba("quarantine", "list", "--code", "schema", settings=settings)
    assert (none.returncode, none.stdout) == (Exit.UNMET, "")
    assert cymba("quarantine", "show", "999", settings=settings).returncode == Exit.FAILED
    assert cymba("quarantine", "replay", "999", settings=settings).returncode == Exit.FAILED
    assert cymba("quarantine", "replay", settings=settings).returncode == Exit.USAGE
    assert refused
