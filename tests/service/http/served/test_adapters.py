"""The examples under RxDB and WatermelonDB: two phones each, against a running server."""

import os
import subprocess
from typing import Any

import pytest

from tests.clients.typescript_phone import CLIENT
from tests.programs import NODE
from tests.service.http.served.parts import ApiProcess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("library", ["rxdb", "watermelon"])
def test_two_phones_agree_and_lose_nothing(api: ApiProcess, person: Any, library: str) -> None:
    token = person.headers["Authorization"].removeprefix("Bearer ")
    lived = subprocess.run(
        [NODE, CLIENT / "examples" / "life.ts", library],
        env=os.environ | {"BASE": api.url, "TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (lived.returncode, lived.stdout.split()[-1:]) == (0, ["agreed"]), lived.stderr
