"""The demo's parts die together, also where their supervisor had no chance to end them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cymba.processes import runs
from ops import ports
from ops.demo.supervisor import PartFailed, Supervisor
from tests.free_ports import free_port

WAITING = "import time; print('up', flush=True); time.sleep(600)"


def module(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(source)


def environ(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(folder)}


def wait_for(path: Path, text: str) -> str:
    while not (path.exists() and text in path.read_text()):
        time.sleep(0.02)
    return path.read_text()


def test_parts_end_with_the_block(tmp_path: Path) -> None:
    module(tmp_path, "waiting", WAITING)
    with Supervisor(tmp_path / "logs") as supervisor:
        parts = [supervisor.start(f"part-{i}", ["waiting"], environ(tmp_path)) for i in range(2)]
        for part in parts:
            wait_for(part.log, "up")
        supervisor.check()
    assert all(part.process.poll() == -signal.SIGTERM for part in parts)


def test_a_part_that_ends_by_itself_is_told_of_with_its_last_words(tmp_path: Path) -> None:
    module(tmp_path, "failing", "import sys; print('no such luck'); sys.exit(7)")
    with Supervisor(tmp_path / "logs") as supervisor:
        part = supervisor.start("luckless", ["failing"], environ(tmp_path))
        part.process.wait()
        with pytest.raises(PartFailed, match=r"luckless ended with status 7(.|\n)*no such luck"):
            supervisor.check()


def test_a_part_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    module(tmp_path, "deaf", f"import signal; signal.signal(15, signal.SIG_IGN); {WAITING}")
    with Supervisor(tmp_path / "logs") as supervisor:
        part = supervisor.start("deaf", ["deaf"], environ(tmp_path))
        wait_for(part.log, "up")
        assert part.stop(timeout_s=0.2) == -signal.SIGKILL
        supervisor.forget(part)


def test_parts_and_their_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    module(
        tmp_path,
        "parent",
        "import subprocess, sys, time\nfrom ops import leash\nleash.follow_stdin()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('up', child.pid, flush=True); time.sleep(600)",
    )
    module(
        tmp_path,
        "supervising",
        "import os, pathlib, time\nfrom ops.demo.supervisor import Supervisor\n"
        f"with Supervisor(pathlib.Path({str(tmp_path)!r})) as supervisor:\n"
        "    part = supervisor.start('part', ['parent'], os.environ)\n"
        "    print(part.process.pid, flush=True); time.sleep(600)",
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "supervising"], env=environ(tmp_path), stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    part = int(supervisor.stdout.readline())
    child = int(wait_for(tmp_path / "part.log", "up").split()[1])
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    while runs(part) or runs(child):
        time.sleep(0.05)


def test_ports() -> None:
    port = free_port()
    assert not ports.is_taken("127.0.0.1", port)
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not ports.is_taken("127.0.0.1", port):
        time.sleep(0.02)
    server.terminate()
    server.wait()
