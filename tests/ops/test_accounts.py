"""The accounts that an operator makes by hand."""

import subprocess
from collections.abc import Callable

from sqlalchemy.orm import Session

from cymba.accounts.passwords import verify_password
from cymba.accounts.profile import find_by_email
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
