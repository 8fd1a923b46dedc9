"""The lines of docs/getting-started.md, run as they stand there against a running server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_pages import TOP
from tests.service.http.served.parts import ApiProcess

pytestmark = pytest.mark.slow

WHERE = """BASE=http://127.0.0.1:8000
export CYMBA_DATA_DIR=.cymba/demo
"""


def test_from_sign_up_to_the_first_plot(
    api: ApiProcess, environ: dict[str, str], tmp_path: Path
) -> None:
    page = (TOP / "docs" / "getting-started.md").read_text()
    where, *blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    assert where == WHERE  # as `make demo` runs it
    (tmp_path / ".venv").symlink_to(sys.prefix)
    ran = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | environ | {"BASE": api.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "HTTP/1.1 202" in ran.stdout
    assert '"applied"' in ran.stdout
    assert "urn:cymba:problem" not in ran.stdout
    assert (tmp_path / "pain.svg").read_text().startswith("<?xml")
