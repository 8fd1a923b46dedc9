"""The TypeScript client lives an app's whole life against a running server."""

import os
import subprocess

import pytest
from sqlalchemy import Engine

from cymba.accounts.keys import derive
from cymba.accounts.sign_up import SIGN_UP_CODES, make_code
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import provision
from tests.clients.typescript_phone import CLIENT
from tests.programs import NODE
from tests.service.conftest import SECRET_KEY
from tests.service.http.served.parts import ApiProcess

pytestmark = pytest.mark.slow


def test_from_sign_up_to_erasure(api: ApiProcess, engine: Engine) -> None:
    with UnitOfWork(engine) as session, session.begin():
        (device,) = provision(session, "ear_cymba", 1)
    email = "life@example.org"
    environ = {
        "BASE": api.url,
        "EMAIL": email,
        "CODE": make_code(derive(SECRET_KEY.encode(), SIGN_UP_CODES), email, utc_now()),
        "SERIAL": device.serial,
        "CLAIM": device.claim_code,
    }
    lived = subprocess.run(
        [NODE, CLIENT / "test" / "life.ts"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (lived.returncode, lived.stdout) == (0, "lived\n"), lived.stderr
