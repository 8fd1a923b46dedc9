"""Whether somebody waits for a lock, for tests of what happens meanwhile."""

from sqlalchemy import Engine, text

_WAITING = text(
    """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
)


def is_any_lock_awaited(engine: Engine) -> bool:
    """In the database of this test."""
    with engine.connect() as connection:
        return connection.scalars(_WAITING).one() > 0
