"""The TypeScript client's own tests, which Node runs."""

import os
import subprocess

from tests.clients.typescript_phone import CLIENT
from tests.programs import NODE


def test_the_clients_own_tests_pass() -> None:
    ran = subprocess.run(
        [NODE, "--test", "test/*.test.ts"],
        cwd=CLIENT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout
