"""The demo as a process of its own, and what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ops import ports
from tests.free_ports import free_port


class Demo:
    """A running demo, and the lines it has printed so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.http_port, self.mqtt_port = free_port(), free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CYMBA_")}
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "ops", "demo", f"--data={folder}",
                f"--http-port={self.http_port}", f"--mqtt-port={self.mqtt_port}", *arguments,
            ],
            env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        self.folder = folder
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return line
        raise AssertionError("\n".join([f"no {pattern!r} in what the demo said:", *self.lines]))

    def end(self) -> int:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def left_nothing_running(self) -> bool:
        return not (
            ports.is_taken("127.0.0.1", self.http_port)
            or ports.is_taken("127.0.0.1", self.mqtt_port)
            or (self.folder / "postgres" / "postmaster.pid").exists()
            or parts_of(self.folder)
        )


def parts_of(folder: Path) -> list[int]:
    """Processes that know of the demo's folder, by their command or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
