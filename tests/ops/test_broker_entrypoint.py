"""Mosquitto's entrypoint with a stand-in for the broker."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.parts import ROOT, wait_until

BROKER = """#!/bin/sh
trap 'exit 0' TERM
echo $$ >"$MOSQUITTO_RUN/pid"
while :; do sleep 0.05; done
"""
# As slow as it takes for the broker, asked to stop while files are joined, to be gone.
MOVE = """#!/bin/sh
if [ -f "$MOSQUITTO_RUN/pid" ]; then
  broker=$(cat "$MOSQUITTO_RUN/pid")
  kill -TERM "$broker" 2>/dev/null
  while [ -d "/proc/$broker" ]; do sleep 0.05; done
fi
exec /bin/mv "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("run", "data", "tls", "credentials", "bin"):
        (tmp_path / name).mkdir()
    programs = {"mosquitto": BROKER, "mosquitto_passwd": "#!/bin/sh\ncat\n", "mv": MOVE}
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def test_a_stop_while_new_passwords_are_taken_is_no_failure(folder: Path) -> None:
    places = {f"MOSQUITTO_{name.upper()}": str(folder / name) for name in
              ("run", "data", "tls", "credentials")}  # fmt: skip
    own = {"BRIDGE_PASSWORD": "x", "HEALTH_PASSWORD": "y", "PATH": f"{folder}/bin:/usr/bin:/bin"}
    shipped = ROOT / "deploy" / "mosquitto"
    process = subprocess.Popen(
        ["/bin/sh", str(shipped / "entrypoint.sh")],
        env=os.environ | places | own | {"MOSQUITTO_CONFIG": str(shipped)},
    )
    try:
        wait_until((folder / "run" / "pid").exists, what="the broker runs")
        (folder / "credentials" / "passwords").write_text("device-0001:$7$\n")
        assert process.wait() == 0
    finally:
        process.send_signal(signal.SIGKILL)
