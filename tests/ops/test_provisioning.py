"""What an operator does about devices: makes them, and ends or replaces their secrets and codes."""

import csv
import io
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices import provisioning
from cymba.devices.provisioning import authenticate, verify_secret
from cymba.devices.signing import load_key, show_public_key
from cymba.devices.tables import Device
from cymba.settings import Settings
from ops.commands import device as commands
from ops.exits import Exit
from tests.end_to_end.parts import PATIENCE_S

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def settings(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return settings | {"DATA_DIR": str(tmp_path / "data")}


def test_provisioned_devices_are_those_that_were_told_of(
    cymba: Run, settings: dict[str, str], session: Session, tmp_path: Path
) -> None:
    file = tmp_path / "batch.csv"
    made = cymba(
        "device", "provision", "--model", "ear_clip", "--count", "1203", "--csv", str(file),
        settings=settings,
    )  # fmt: skip
    assert made.returncode == Exit.DONE, made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert len({row["device_id"] for row in rows}) == 1203
    assert session.scalar(select(func.count()).select_from(Device)) == 1203
    one = rows[1000]
    assert authenticate(session, one["device_id"], one["secret"])
    key = load_key(Settings(data_dir=tmp_path / "data"))
    assert {row["programme_key"] for row in rows} == {show_public_key(key)}
    again = cymba(
        "device", "provision", "--model", "ear_clip", "--csv", str(file), settings=settings
    )
    assert again.returncode == Exit.USAGE
    assert len(file.read_text().splitlines()) == 1204
    assert session.scalar(select(func.count()).select_from(Device)) == 1203


def test_secrets_are_on_the_screen_only_if_that_is_asked_for(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Settings(database_url=settings["DATABASE_URL"], data_dir=tmp_path / "data")
    made = CliRunner().invoke(commands.device, ["provision", "--model", "neck"], obj=given)
    assert made.exit_code == 0, made.output
    (file,) = tmp_path.glob("devices-*.csv")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (row,) = csv.DictReader(io.StringIO(file.read_text()))
    assert file.name in made.output
    assert row["secret"] not in made.output
    assert row["claim_code"] not in made.output
    shown = CliRunner().invoke(
        commands.device, ["provision", "--model", "neck", "--csv", "-"], obj=given
    )
    (row,) = csv.DictReader(io.StringIO(shown.stdout))
    assert row["secret"] in shown.stdout
    assert list(tmp_path.glob("devices-*.csv")) == [file]


def test_an_interrupted_run_has_told_of_every_device_that_exists(
    settings: dict[str, str], session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = provisioning.provision

    def interrupted(*arguments: object, **named: object) -> Iterator[provisioning.Credentials]:
        for number, one in enumerate(real(*arguments, **named)):  # type: ignore[arg-type]
            if number == 777:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(provisioning, "provision", interrupted)
    file = tmp_path / "batch.csv"
    given = Settings(database_url=settings["DATABASE_URL"], data_dir=tmp_path / "data")
    arguments = ["provision", "--model", "neck", "--count", "2000", "--csv", str(file)]
    stopped = CliRunner().invoke(commands.device, arguments, obj=given)
    assert stopped.exit_code != 0
    told = {row["device_id"] for row in csv.DictReader(io.StringIO(file.read_text()))}
    assert told == set(session.scalars(select(Device.id)))
    assert len(told) == commands.COMMIT_EVERY


def test_a_long_run_shows_how_far_it_is(settings: dict[str, str], tmp_path: Path) -> None:
    terminal, line = pty.openpty()
    file = tmp_path / "batch.csv"
    run = subprocess.Popen(
        [sys.executable, "-m", "ops", "device", "provision",
         "--model", "neck", "--count", "1200", "--csv", str(file)],
        env=os.environ | {f"CYMBA_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE, stderr=line, text=True,
    )  # fmt: skip
    os.close(line)
    shown = b""
    with suppress(OSError):  # how a terminal says on Linux that nobody is left at it
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == Exit.DONE, shown.decode()
    assert re.findall(r"Provisioning.* (\d+)%", shown.decode())[-1] == "100"
    assert said == f"1,200 devices of model neck, with secrets and claim codes: {file}\n"
    assert len(file.read_text().splitlines()) == 1201


def test_secrets_end_and_begin(
    cymba: Run, settings: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    made = cymba("device", "provision", "--model", "ear_clip", "--csv", "-", settings=settings)
    (row,) = csv.DictReader(io.StringIO(made.stdout))
    device_id = row["device_id"]

    def enters(secret: str) -> bool:
        with UnitOfWork(engine) as session:
            return authenticate(session, device_id, secret)

    new = cymba("device", "reissue", device_id, settings=settings).stdout.strip()
    assert (enters(row["secret"]), enters(new)) == (False, True)
    file, denied = tmp_path / "passwords", tmp_path / "revoked"
    files = ("device", "passwords", "--out", str(file), "--revoked", str(denied))
    assert cymba(*files, settings=settings).returncode == 0
    name, _, stored = file.read_text().strip().partition(":")
    assert name == device_id
    assert verify_secret(stored, new)
    assert denied.read_text() == ""
    assert cymba("device", "revoke", device_id, settings=settings).returncode == Exit.DONE
    assert not enters(new)
    cymba(*files, settings=settings)
    assert file.read_text() == ""
    assert denied.read_text() == f"user {device_id}\ntopic deny cymba/v1/{device_id}/#\n"
    code = cymba("device", "claim-code", device_id, settings=settings).stdout.strip()
    assert code
    assert code != row["claim_code"]
    assert cymba("device", "revoke", "nobody-0", settings=settings).returncode == Exit.FAILED
