"""The database of the settings: a server's URL, or the embedded server."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from cymba.database import make_engine
from cymba.settings import Settings
from ops import postgres


@contextmanager
def open_url(settings: Settings) -> Iterator[str]:
    """The database's URL. Without one in the settings, the embedded server in `data_dir` runs
    until the last process that uses it has left."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = postgres.start(settings.data_dir / "postgres")
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def open_engine(settings: Settings, *, application_name: str = "cymba") -> Iterator[Engine]:
    """An engine over `open_url`, disposed of at the end."""
    with open_url(settings) as url:
        engine = make_engine(
            url, pool_size=settings.database_pool_size, application_name=application_name
        )
        try:
            yield engine
        finally:
            engine.dispose()
