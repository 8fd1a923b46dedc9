"""Mosquitto's password and access files, written from the database.

`deploy/mosquitto/entrypoint.sh` makes the broker read them.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

from cymba.database import BoundedConnection, UnitOfWork
from cymba.devices.broker_rights import admitting_hashes
from cymba.devices.provisioning import CHANGES
from cymba.devices.tables import Device
from cymba.whole_file import replaced

# The database notifies of every change. This is the fallback, for instance behind a connection pool
# that does not pass notifications on.
REREAD_S = 30.0
# How long a round listens. Then it asks whether the connection lives: a dead one is as silent as
# one without news, and a revoked device would stay in.
LISTEN_S = 2.0

FOR_THE_BROKER = 0o644  # as the umask allows: the broker is another user

Write = Callable[[Session, str], str]
"""What a file for the broker of a cell holds."""


def passwords(session: Session, cell: str) -> str:
    """A password file of all devices that the broker of `cell` is to admit."""
    hashes = admitting_hashes(session, None, cell)
    return "".join(f"{device_id}:{secret_hash}\n" for device_id, secret_hash in hashes.items())


def revoked(session: Session, _cell: str) -> str:
    """Lines of an access file that deny everything to devices without a secret.

    A device with a certificate is not asked for a secret, so only this locks it out.
    """
    ids = session.scalars(select(Device.id).where(Device.secret_hash.is_(None)).order_by(Device.id))
    return "".join(f"user {device_id}\ntopic deny cymba/v1/{device_id}/#\n" for device_id in ids)


def write(session: Session, files: Mapping[Path, Write], cell: str) -> None:
    """Replace those of `files` of `cell` that differ from the database, each atomically.

    Raises:
        OSError: one cannot be written.
    """
    for path, content in files.items():
        new = content(session, cell)
        if not path.exists() or path.read_text() != new:
            with replaced(path, FOR_THE_BROKER) as out:
                out.write(new.encode())


class Follower:
    """Writes `files` whenever a secret changes, and all of them after a connection was lost."""

    def __init__(
        self,
        engine: Engine,
        files: Mapping[Path, Write],
        cell: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._files = files
        self._cell = cell
        self._clock = clock
        self._connection: Connection | None = None
        self._due_s = 0.0
        self._compared_s = clock()

    def show(self, registry: CollectorRegistry) -> None:
        """Add to `registry` how old the files are, at each moment."""
        Gauge(
            "cymba_password_files_age_seconds",
            "Time since the broker's files were last compared with the database.",
            registry=registry,
        ).set_function(lambda: self._clock() - self._compared_s)

    def run_once(self) -> None:
        """Write what has changed, and listen for some seconds.

        Raises:
            OSError: a file cannot be written. DBAPIError: the database cannot be spoken to.
        """
        try:
            connection = self._connection or self._connect()
            line = connection.connection.driver_connection
            assert isinstance(line, BoundedConnection)  # noqa: S101 - for mypy
            if self._clock() >= self._due_s:
                # Over the connection that listens, so that a dead one is noticed.
                with UnitOfWork(connection) as session:
                    write(session, self._files, self._cell)
                self._compared_s = self._clock()
                self._due_s = self._compared_s + REREAD_S
            with closing(line.notifies(timeout=LISTEN_S, stop_after=1)) as changes:
                has_changed = next(changes, None) is not None
            line.ping()
        except Exception:
            self.close()
            raise
        if has_changed:
            self._due_s = 0.0

    def close(self) -> None:
        """End the connection, whatever is left of it."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        self._due_s = 0.0  # what was changed meanwhile was told to nobody
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection = connection
        connection.execute(text(f"LISTEN {CHANGES}"))
        return connection
