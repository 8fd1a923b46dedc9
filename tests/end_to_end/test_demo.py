"""The demo as a person meets it: from outside, through what it prints."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops import ports
from tests.end_to_end.demo import Demo, parts_of
from tests.end_to_end.parts import PATIENCE_S
from tests.free_ports import free_port

CURL = """#!{python}
import sys, urllib.request
words = [word for word in sys.argv[1:] if word != "-s"]
url, headers, body = None, {{}}, None
while words:
    word = words.pop(0)
    if word == "-H":
        name, _, value = words.pop(0).partition(": ")
        headers[name] = value
    elif word == "-d":
        body = words.pop(0).encode()
    else:
        url = word
with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
    sys.stdout.buffer.write(response.read())
"""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a terminal beside the demo; a machine without curl gets a small one."""
    if shutil.which("curl"):
        return dict(os.environ)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "curl").write_text(CURL.format(python=sys.executable))
    (tmp_path / "bin" / "curl").chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's data: set up by the first test that needs it, found by the others."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    yield folder
    assert not parts_of(folder)


@pytest.mark.slow
def test_the_lines_it_prints_work_and_every_frame_is_stored_once(
    folder: Path, shell: dict[str, str]
) -> None:
    demo = Demo(folder)
    demo.read_until(r"^Waiting for the first live session … [\d.]+ s$")
    demo.read_until(r"^Ctrl-C ends it")
    (app,) = [line.split()[1] for line in demo.lines if line.startswith("  App ")]
    assert "<title>Cymba</title>" in httpx.get(app, timeout=PATIENCE_S).text
    lines = [line for line in demo.lines if line.startswith(("TOKEN=", "curl "))]
    assert len(lines) == 4

    def pasted() -> list[str]:
        done = subprocess.run(
            ["bash", "-euc", "\n".join(f"{line}; echo" for line in lines)],
            env=shell, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return done.stdout.split("\n")[:4]

    _, history, links, telemetry = pasted()
    while '"series":[]' in telemetry:  # of the session there is no sample yet
        _, history, links, telemetry = pasted()
    weeks = json.loads(history)
    assert len(json.dumps(weeks)) > 100
    assert json.loads(links)["disclaimer"]
    assert "amplitude_ua" in telemetry
    json.loads(telemetry)
    try_a_trial(demo)
    demo.read_until(r"frames stored +([2-9]\d|\d{3,}) ")
    demo.process.send_signal(signal.SIGINT)
    demo.process.send_signal(signal.SIGINT)  # some press it twice
    assert demo.end() == 0, demo.said
    verdict = re.search(r"each of the (\d+) frames .* stored exactly once", demo.lines[-1])
    assert verdict is not None
    assert int(verdict[1]) > 10
    assert demo.left_nothing_running()


def try_a_trial(demo: Demo) -> None:
    """The person's devices have applied their programmes, and a trial of theirs can be read."""
    kept = json.loads((demo.folder / "household.json").read_text())
    with httpx.Client(base_url=f"http://127.0.0.1:{demo.http_port}", timeout=PATIENCE_S) as ana:
        credentials = {"email": kept["email"], "password": kept["password"]}
        token = ana.post("/v1/auth/token", json=credentials).json()["access_token"]
        ana.headers["Authorization"] = f"Bearer {token}"
        for device in kept["devices"]:
            path = f"/v1/devices/{device['device_id']}/programme"
            while not (programme := ana.get(path).json())["in_step"]:
                threading.Event().wait(0.2)  # until the device has said so
            assert programme["held"] == programme["desired"]
        (trial,) = ana.get("/v1/experiments").json()["items"]
        assert trial["device_id"] == kept["devices"][0]["device_id"]
        assert ana.get(f"/v1/experiments/{trial['id']}").json()["plan"]


@pytest.mark.slow
def test_it_ends_by_itself_after_as_many_seconds_as_it_is_told(folder: Path) -> None:
    demo = Demo(folder, "--seconds=1")
    assert demo.end() == 0, demo.said
    assert "stored exactly once" in demo.lines[-1]
    assert demo.left_nothing_running()


@pytest.mark.slow
def test_a_part_that_dies_ends_it_with_a_reason(folder: Path) -> None:
    demo = Demo(folder)
    demo.read_until("frames stored")
    (bridge,) = [
        pid for pid in parts_of(folder)
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2] == b"bridge"
    ]  # fmt: skip
    os.kill(bridge, signal.SIGKILL)
    assert demo.end() == 1
    assert "bridge ended with status -9" in demo.said
    assert demo.left_nothing_running()


@pytest.mark.slow
def test_its_parts_end_with_it_where_it_is_killed(folder: Path) -> None:
    demo = Demo(folder)
    demo.read_until("frames stored")
    demo.process.kill()
    demo.process.wait()
    waited = threading.Event()
    while not demo.left_nothing_running():
        waited.wait(0.2)


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    other = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(other), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        while not ports.is_taken("127.0.0.1", other):
            threading.Event().wait(0.05)
        demo = Demo(tmp_path / "data", f"--http-port={other}")
        assert demo.end() == 1
        assert demo.lines == [f"Error: port {other} is in use; choose another with --http-port"]
        assert not (tmp_path / "data").exists()
        server.terminate()
