"""The command, and a database for it."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import pytest

from tests.ops.command import CommandRunner
from tests.ops.services_role import granted, logged, service  # noqa: F401 - fixtures

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandRunner]:
    runner = CommandRunner(tmp_path_factory.mktemp("commands"))
    yield runner
    runner.close()


@pytest.fixture
def cymba(command_runner: CommandRunner) -> Run:
    """Run `cymba …` with `settings` as its only `CYMBA_*` variables, and wait for its end."""

    def run(
        *arguments: str,
        settings: Mapping[str, str],
        environ: Mapping[str, str] = MappingProxyType({}),
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CYMBA_")}
        given = {f"CYMBA_{name}": value for name, value in settings.items()}
        return command_runner.run(arguments, clean | dict(environ) | given, stdin)

    return run


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    """A database with the schema, and errors only in the log."""
    return {"DATABASE_URL": database_url, "LOG_LEVEL": "error"}
