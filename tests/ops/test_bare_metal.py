"""The page without containers leads from nothing to a device's freed frames over TLS."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.bare_metal import BareMetal
from tests.ops.first_start import PublicAddresses, first_start
from tests.ops.unit_files import block_with, wanted
from tests.programs import MOUNT, needs

pytestmark = [pytest.mark.slow, *map(needs, ("mosquitto", "nginx", "systemd-analyze", MOUNT))]
HERE = PublicAddresses("127.0.0.1", "127.0.0.1", 443)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[BareMetal]:
    made = BareMetal(tmp_path / "machine")
    try:
        with made.network():
            yield made
    finally:
        made.close()


def status(process: int, field: str) -> list[str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def test_the_page_leads_from_nothing_to_freed_frames(machine: BareMetal) -> None:
    machine.follow(block_with("systemd-sysusers"))
    assert machine.verify() == ""
    secret = [*(machine.root / "etc/cymba").glob("*.env"), machine.root / "etc/cymba/tls"]
    secret.append(machine.root / "etc/cymba/programme_key.pem")
    assert len(secret) > 5
    assert [file.name for file in secret if file.stat().st_mode & 0o007] == []
    machine.follow(block_with("CREATE ROLE"))
    begin, is_ready, *_ = block_with("enable --now cymba.target").splitlines()
    machine.follow(f"{begin}\n")
    machine.wait_well()
    machine.follow(is_ready)
    with first_start(machine, HERE):
        pass
    assert set(machine.running) == {*wanted()} - {"cymba-migrate"}
    pids = [one.process.pid for one in machine.running.values()]
    users = {status(pid, "Uid")[0] for pid in pids}
    assert len(users) == len(pids)
    assert str(os.geteuid()) not in users
    assert {status(pid, "NoNewPrivs")[0] for pid in pids} == {"1"}
    names = list(reversed(machine.running))
    assert {name: machine.stop(name) for name in names} == dict.fromkeys(names, 0)
