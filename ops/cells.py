"""The cell that a process is of, by `CYMBA_CELL`."""

from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.cells import known_cell
from cymba.errors import Rejected
from cymba.settings import FIRST_CELL, Settings, SettingsError


def process_name(part: str, settings: Settings) -> str:
    """What the database knows its connections by: `cymba bridge`, or `cymba bridge-north`."""
    return f"cymba {part}" if settings.cell == FIRST_CELL else f"cymba {part}-{settings.cell}"


def require_cell(engine: Engine, settings: Settings) -> None:
    """
    Raises:
        SettingsError: there is no such cell: a bridge of it would turn everybody away.
    """
    if settings.cell == FIRST_CELL:
        return
    with UnitOfWork(engine) as session:
        try:
            known_cell(session, settings.cell)
        except Rejected as error:
            raise SettingsError(f"CYMBA_CELL: {error}") from None
