"""Mosquitto's password and access files, written from the database.

`deploy/mosquitto/entrypoint.sh` makes the broker read them.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices.provisioning import CHANGES
from cymba.devices.tables import Device

# The database notifies of every change. This is the fallback, for instance behind a connection pool
# that does not pass notifications on.
REREAD_S = 30.0

Write = Callable[[Session], str]


def passwords(session: Session) -> str:
    """A password file of all devices that have a secret."""
    rows = session.execute(
        select(Device.id, Device.secret_hash)
        .where(Device.secret_hash.is_not(None))
        .order_by(Device.id)
    )
    return "".join(f"{device_id}:{secret_hash}\n" for device_id, secret_hash in rows)


def revoked(session: Session) -> str:
    """Lines of an access file that deny everything to devices without a secret.

    A device with a certificate is not asked for a secret, so only this locks it out.
    """
    ids = session.scalars(select(Device.id).where(Device.secret_hash.is_(None)).order_by(Device.id))
    return "".join(f"user {device_id}\ntopic deny cymba/v1/{device_id}/#\n" for device_id in ids)


def write(engine: Engine, files: Mapping[Path, Write]) -> None:
    """Replace those of `files` that differ from the database, each atomically.

    Raises:
        OSError: one cannot be written.
    """
    for path, content in files.items():
        with UnitOfWork(engine) as session:
            new = content(session)
        if not path.exists() or path.read_text() != new:
            draft = path.with_name(f"{path.name}.new")
            draft.write_text(new)
            draft.replace(path)


def follow(engine: Engine, files: Mapping[Path, Write]) -> None:
    """Write `files` now and whenever a secret changes. It does not return.

    Raises:
        OSError: one cannot be written. OperationalError: the connection to the database broke.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"LISTEN {CHANGES}"))  # before reading, so nothing is missed
        line = connection.connection.driver_connection
        if not isinstance(line, psycopg.Connection):
            raise TypeError("this listens through psycopg alone")
        while True:
            write(engine, files)
            try:
                with closing(line.notifies(timeout=REREAD_S, stop_after=1)) as changes:
                    next(changes, None)
            except psycopg.OperationalError as error:
                raise OperationalError(f"LISTEN {CHANGES}", None, error) from error
