"""The demo's processes: they start in order, stop in reverse, and end together."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_S = 30.0
HASTY_STOP_S = 5.0


@dataclass(frozen=True)
class Part:
    """A running process. Its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Terminate it, and kill it after `timeout_s`. Return its exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        assert self.process.stdin is not None  # noqa: S101 - a pipe, by `start`
        self.process.stdin.close()
        return status

    def last_words(self, lines: int = 5) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class PartFailed(Exception):
    """A part ended by itself. The message ends with the last lines of its log."""


class Supervisor:
    """Starts parts as `python -m …`, and ends every one of them, however it ends itself.

    Each part leads its own session, so Ctrl-C in the terminal reaches the supervisor alone, which
    then stops the parts in order. Each holds a pipe to the supervisor, so that it also ends if the
    supervisor is killed (`ops.leash`).
    """

    def __init__(self, log_folder: Path) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._log_folder = log_folder
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is not None:  # do not wait for the parts to end by themselves
            for part in self._parts:
                part.process.terminate()
        for part in reversed(self._parts):
            part.stop(STOP_S if error is None else HASTY_STOP_S)

    def start(self, name: str, module: Sequence[str], environ: Mapping[str, str]) -> Part:
        """Run `python -m <module…>` with `environ` as its whole environment."""
        path = self._log_folder / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *module],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(environ),
                start_new_session=True,
            )
        part = Part(name, process, path)
        self._parts.append(part)
        return part

    def start_command(self, name: str, *arguments: str, environ: Mapping[str, str]) -> Part:
        """Run a command of `cymba`."""
        return self.start(name, ["ops", "--until-stdin-closes", *arguments], environ)

    def forget(self, part: Part) -> None:
        """Do not watch a part any more that its starter has stopped."""
        self._parts.remove(part)

    def check(self) -> None:
        """Raise PartFailed if a part has ended by itself."""
        for part in self._parts:
            status = part.process.poll()
            if status is not None:
                raise PartFailed(
                    f"{part.name} ended with status {status}; {part.log} ends with:\n"
                    f"{part.last_words()}"
                )
