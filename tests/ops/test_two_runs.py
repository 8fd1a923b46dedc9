"""Two runs of the tests at once, on one machine and as one user."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ops.postgres import EmbeddedPostgres
from tests import run_folder
from tests.end_to_end.parts import ROOT


def test_a_second_run_closes_no_folder_of_the_first(postgres_server: EmbeddedPostgres) -> None:
    """PostgreSQL runs as another user where root starts it, and has to reach its data."""

    def modes() -> dict[Path, int]:
        return {folder: folder.stat().st_mode for folder in postgres_server.server.pgdata.parents}

    before = modes()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    second = subprocess.run(
        [*command, "tests/accounts/test_keys.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 0, second.stdout
    assert modes() == before


def test_what_a_run_left_that_ended_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / "of-somebody-else"
    other.mkdir()
    script = "import sys; from tests import run_folder; print(run_folder.make(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; sys.stdin.read()"],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        folder = Path(first.stdout.readline().strip())
        (folder / "postgres").mkdir()
        second = run_folder.make()
        assert {folder, second, other} == set(tmp_path.iterdir())
        first.kill()
        first.wait()
    third = run_folder.make()
    assert {second, third, other} == set(tmp_path.iterdir())
