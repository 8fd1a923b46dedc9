"""The engine, the unit of work, the declarative base, and times that are always UTC."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from sqlalchemy import Connection, DateTime, Dialect, Engine, MetaData, create_engine, func
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, sessionmaker
from sqlalchemy.types import TypeDecorator

# Names that PostgreSQL and alembic agree on, so that a migration can drop what it made.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """`timestamptz` that refuses a naive datetime and always gives back UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy's own protocol


CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]


def utc_now() -> datetime:
    return datetime.now(UTC)


def make_engine(url: str, *, pool_size: int = 10, **options: Any) -> Engine:
    """An engine for `url` (`postgresql://…`), through psycopg 3.

    Statements time out rather than hang a request: callers with long work (migrations, exports)
    set their own `statement_timeout`.
    """
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # an error's text reaches logs, and what is stored is about health
        connect_args={
            "options": "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s",
            "application_name": options.pop("application_name", "cymba"),
            "connect_timeout": 5,
        },
        **options,
    )


class UnitOfWork(Session):
    """The one kind of session that Cymba opens: what is announced to the apps in it is written as
    the last of its transaction (`accounts.changes`).

    An UPDATE or DELETE of many rows leaves the objects that were read before as they are.
    """

    def __init__(self, bind: Engine | Connection, **options: Any) -> None:
        super().__init__(bind, execution_options={"synchronize_session": False}, **options)


def units_of_work(engine: Engine, **options: Any) -> sessionmaker[UnitOfWork]:
    """Gives a unit of work at each call; `begin` gives one that commits at its end."""
    return sessionmaker(engine, class_=UnitOfWork, **options)
