"""Two runs of the tests at once, on one machine and as one user."""

import subprocess
import sys
from pathlib import Path

from ops.postgres import EmbeddedPostgres
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
