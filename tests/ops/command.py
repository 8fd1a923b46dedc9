"""`cymba` as a shell would run it, but for the second that it takes to import.

One process imports every command. Each run is a fork of it: a process of its own, with an
environment, a standard input and an exit status of its own. What starts `python -m ops` itself are
the tests that kill processes, and those of the deployment.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from ops.cli import COMMANDS, main
from tests.end_to_end.parts import ROOT


class CommandRunner:
    """Runs one command after the other."""

    def __init__(self, folder: Path) -> None:
        self._files = [str(folder / name) for name in ("stdin", "stdout", "stderr")]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.ops.command"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(
        self, arguments: tuple[str, ...], environ: Mapping[str, str], stdin: str
    ) -> subprocess.CompletedProcess[str]:
        given, out, err = map(Path, self._files)
        given.write_text(stdin)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([arguments, dict(environ), self._files]) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


def serve() -> None:
    for place in COMMANDS.values():
        import_module(place.partition(":")[0])
    gc.freeze()  # else each run ends with a look at all that was imported, which takes a second
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become_command(*json.loads(line))
            return  # the interpreter ends as it does after any command
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def become_command(arguments: list[str], environ: dict[str, str], files: list[str]) -> None:
    for number, name in enumerate(files):
        how = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, how), number)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environ)
    main(arguments, prog_name="cymba")


if __name__ == "__main__":
    serve()
