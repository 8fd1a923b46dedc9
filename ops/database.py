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


def engine_of(settings: Settings, url: str, *, application_name: str = "cymba") -> Engine:
    return make_engine(
        url,
        pool_size=settings.database_pool_size,
        through_pgbouncer=settings.database_through_pgbouncer,
        application_name=application_name,
    )


def replica_of(settings: Settings, *, application_name: str) -> Engine | None:
    """An engine over the replica, if the settings name one. Nothing is connected yet: a replica
    that is away stops no start."""
    url = settings.database_replica_url
    return None if url is None else engine_of(settings, url, application_name=application_name)


@contextmanager
def open_engine(settings: Settings, *, application_name: str = "cymba") -> Iterator[Engine]:
    """An engine over `open_url`, disposed of at the end."""
    with open_url(settings) as url:
        engine = engine_of(settings, url, application_name=application_name)
        try:
            yield engine
        finally:
            engine.dispose()
