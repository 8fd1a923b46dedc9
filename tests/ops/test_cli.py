"""The command as a whole: it explains itself, and its exit status means something."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ops.cli import COMMANDS, main
from ops.exits import Exit

Run = Callable[..., subprocess.CompletedProcess[str]]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, as the words that call it."""
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("words", commands(main), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    help_text = command.get_help(click.Context(command, info_name=words[-1]))
    assert len((command.help or "").split()) >= 4
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{parameter.name} says nothing of itself"
    assert words[-1] in help_text


def test_the_help_lists_every_command(cymba: Run) -> None:
    run = cymba("--help", settings={})
    assert run.returncode == Exit.DONE
    assert run.stderr == ""
    lines = dict(re.findall(r"^  (\w+) +(.+)$", run.stdout, re.MULTILINE))
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert lines[name] == command.get_short_help_str(len(lines[name]))


def test_no_part_warns_when_it_is_loaded_or_loads_what_a_single_function_needs() -> None:
    load_all = (
        "import sys; from importlib import import_module; from ops.cli import COMMANDS;"
        "[import_module(one.partition(':')[0]) for one in COMMANDS.values()];"
        "print(*{'matplotlib', 'pyarrow.compute', 'scipy.stats', 'typst'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", load_all], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PORT", "eight"),
        ("NO_SUCH_THING", "1"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "mysql://cymba:hidden@db/cymba"),
        ("DATABASE_URL", "postgresql+asyncpg://cymba:hidden@db/cymba"),
        ("DATABASE_URL", "postgresql://cymba:hidden@db:five/cymba"),
        ("DATABASE_URL", "hidden"),
        ("DATABASE_REPLICA_URL", "mysql://cymba:hidden@db/cymba"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(cymba: Run, variable: str, value: str) -> None:
    run = cymba("db", "current", settings={variable: value})
    assert run.returncode == Exit.USAGE
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert f"CYMBA_{variable}" in run.stderr
    assert "hidden" not in run.stderr


def test_a_wrong_argument_is_status_2(cymba: Run) -> None:
    assert cymba("db", "sideways", settings={}).returncode == Exit.USAGE
    assert cymba("bridge", "--slot", "1", settings={}).returncode == Exit.USAGE


def test_a_database_that_is_away_is_status_4(cymba: Run) -> None:
    run = cymba("db", "current", settings={"DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    assert run.returncode == Exit.UNREACHABLE
    assert len(run.stderr.splitlines()) == 1
    assert "Traceback" not in run.stderr


def test_the_embedded_database_keeps_its_data(cymba: Run, tmp_path: Path) -> None:
    here = {"DATA_DIR": str(tmp_path / "data")}
    assert cymba("db", "current", settings=here).returncode == Exit.UNMET
    assert cymba("db", "check", settings=here).returncode == Exit.UNMET
    assert cymba("db", "upgrade", settings=here).returncode == Exit.DONE
    assert cymba("db", "check", settings=here).returncode == Exit.DONE
    assert cymba("db", "upgrade", settings=here).returncode == Exit.DONE
    history = cymba("db", "history", settings=here)
    assert history.returncode == Exit.DONE
    assert all(line.startswith("✓ 0") for line in history.stdout.splitlines())
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()  # it was stopped


def test_upgrade_prints_its_sql_without_a_database(cymba: Run) -> None:
    run = cymba("db", "upgrade", "--sql", settings={"DATABASE_URL": "postgresql://127.0.0.1:1/x"})
    assert run.returncode == Exit.DONE
    assert "CREATE TABLE account" in run.stdout
