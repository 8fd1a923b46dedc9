"""The command as a shell would run it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from tests.end_to_end.parts import PATIENCE_S
from tests.ops.services_role import granted, logged, service  # noqa: F401 - fixtures

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cymba() -> Run:
    """Run `cymba …` with `settings` as its only `CYMBA_*` variables, and wait for its end."""

    def run(
        *arguments: str,
        settings: Mapping[str, str],
        environ: Mapping[str, str] = MappingProxyType({}),
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CYMBA_")}
        return subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            env=clean
            | dict(environ)
            | {f"CYMBA_{name}": value for name, value in settings.items()},
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )

    return run


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    """A database with the schema, and errors only in the log."""
    return {"DATABASE_URL": database_url, "LOG_LEVEL": "error"}
