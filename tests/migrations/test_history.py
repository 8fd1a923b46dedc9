"""The history's form: numbered, linear, imports nothing of ours, safe for tables in use."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import migrations
from ops import schema

VERSIONS = sorted((migrations.FOLDER / "versions").glob("[0-9]*.py"))
OURS = {"cymba", "service", "mqtt_bridge", "simulator", "ops", "migrations"}


def test_revisions_are_numbered_one_after_the_other() -> None:
    steps = schema.history()
    numbers = [f"{i + 1:04}" for i in range(len(steps))]
    assert [step.revision for step in steps] == numbers
    assert [step.down_revision for step in steps] == [None, *numbers[:-1]]
    assert migrations.head() == numbers[-1]


def test_every_file_is_named_by_its_revision_and_what_it_does() -> None:
    assert len(VERSIONS) == len(schema.history())
    for step, path in zip(schema.history(), VERSIONS, strict=True):
        assert Path(step.path) == path
        assert re.fullmatch(rf"{step.revision}_[a-z]+(_[a-z0-9]+)+\.py", path.name)
        assert step.doc.endswith(".")


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_imports_nothing_of_ours(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = {
            ast.Import: lambda n: [alias.name for alias in n.names],
            ast.ImportFrom: lambda n: [n.module or ""],
        }.get(type(node), lambda _: [])(node)
        assert not OURS & {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_an_index_on_a_table_in_use_is_made_concurrently(path: Path) -> None:
    """A table that the same migration creates is in nobody's use yet."""
    tree = ast.parse(path.read_text())
    created: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if _called(call) == "create_table":
            created.add(ast.literal_eval(call.args[0]))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if _called(call) == "create_index" and ast.literal_eval(call.args[1]) not in created:
            options = {keyword.arg: keyword.value for keyword in call.keywords}
            assert "postgresql_concurrently" in options, ast.unparse(call)
            # Such a step is no transaction: broken off, it must be able to run again.
            assert "if_not_exists" in options, ast.unparse(call)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def test_the_sql_linter_finds_nothing() -> None:
    squawk = Path(sys.executable).parent / "squawk"
    run = subprocess.run(
        [squawk, "--config", migrations.FOLDER.parent / ".squawk.toml"],
        input=schema.sql(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_sql_linter_would_find_something() -> None:
    """The linter reads what it is given: a step that locks a table in use is reported."""
    squawk = Path(sys.executable).parent / "squawk"
    harmful = "ALTER TABLE frame ADD COLUMN checked boolean NOT NULL;"
    run = subprocess.run(
        [squawk, "--config", migrations.FOLDER.parent / ".squawk.toml"],
        input=schema.sql() + harmful,
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode != 0
