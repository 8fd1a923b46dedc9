"""What an operator makes by hand: accounts, devices, secrets, codes."""

import csv
import io
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.accounts.passwords import verify_password
from cymba.accounts.profile import find_by_email
from cymba.devices.provisioning import authenticate, verify_secret
from cymba.devices.tables import Device
from ops.exits import Exit

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_an_account_with_a_drawn_password(
    cymba: Run, settings: dict[str, str], session: Session
) -> None:
    made = cymba(
        "account", "create", "ana@example.org", "--generate", "--role", "operator",
        "--time-zone", "Europe/Lisbon", settings=settings,
    )  # fmt: skip
    assert made.returncode == Exit.DONE, made.stderr
    shown = dict(line.split() for line in made.stdout.splitlines())
    account = find_by_email(session, "ana@example.org")
    assert account is not None
    assert (str(account.id), account.role) == (shown["account"], "operator")
    assert account.password_hash is not None
    assert verify_password(account.password_hash, shown["password"])


def test_an_account_is_refused_in_words(cymba: Run, settings: dict[str, str]) -> None:
    arguments = ("account", "create", "ben@example.org", "--password-stdin")
    assert cymba(*arguments, settings=settings, stdin="a-long-password-1\n").returncode == Exit.DONE
    again = cymba(*arguments, settings=settings, stdin="a-long-password-1\n")
    assert again.returncode == Exit.FAILED
    assert "already" in again.stderr
    wrong = cymba(*arguments, "--time-zone", "Mars/Olympus", settings=settings, stdin="x" * 20)
    assert wrong.returncode == Exit.FAILED
    assert "Traceback" not in wrong.stderr


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
    again = cymba(
        "device", "provision", "--model", "ear_clip", "--csv", str(file), settings=settings
    )
    assert again.returncode == Exit.USAGE
    assert len(file.read_text().splitlines()) == 1204


def test_secrets_end_and_begin(
    cymba: Run, settings: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    made = cymba("device", "provision", "--model", "ear_clip", settings=settings)
    (row,) = csv.DictReader(io.StringIO(made.stdout))
    device_id = row["device_id"]

    def enters(secret: str) -> bool:
        with Session(engine) as session:
            return authenticate(session, device_id, secret)

    new = cymba("device", "reissue-secret", device_id, settings=settings).stdout.strip()
    assert (enters(row["secret"]), enters(new)) == (False, True)
    file = tmp_path / "passwords"
    assert cymba("device", "passwords", "--out", str(file), settings=settings).returncode == 0
    name, _, stored = file.read_text().strip().partition(":")
    assert name == device_id
    assert verify_secret(stored, new)
    assert cymba("device", "revoke", device_id, settings=settings).returncode == Exit.DONE
    assert not enters(new)
    cymba("device", "passwords", "--out", str(file), settings=settings)
    assert file.read_text() == ""
    code = cymba("device", "reissue-code", device_id, settings=settings).stdout.strip()
    assert code
    assert code != row["claim_code"]
    assert cymba("device", "revoke", "nobody-0", settings=settings).returncode == Exit.FAILED
