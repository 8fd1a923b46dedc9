"""The cell that a process is of, by `CYMBA_CELL`."""

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cymba.database import UnitOfWork
from cymba.devices.cells import known_cell
from cymba.errors import Rejected
from cymba.failures import is_passing
from cymba.settings import FIRST_CELL, Settings, SettingsError

log = structlog.get_logger(__name__)


def process_name(part: str, settings: Settings) -> str:
    """What the database knows its connections by: `cymba bridge`, or `cymba bridge-north`."""
    return f"cymba {part}" if settings.cell == FIRST_CELL else f"cymba {part}-{settings.cell}"


def require_cell(engine: Engine, settings: Settings) -> None:
    """A database that does not answer holds up no start.

    Raises:
        SettingsError: there is no such cell: a bridge of it would turn everybody away.
    """
    if settings.cell == FIRST_CELL:
        return
    try:
        with UnitOfWork(engine) as session:
            known_cell(session, settings.cell)
    except Rejected as error:
        raise SettingsError(f"CYMBA_CELL: {error}") from None
    except (DBAPIError, PoolTimeout) as error:
        if not is_passing(error):
            raise
        log.warning("the database does not answer: CYMBA_CELL is not checked", cell=settings.cell)
