"""The engine, the unit of work, statements kept prepared, the declarative base, and times that are
always UTC."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
import psycopg
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ExceptionContext,
    MetaData,
    any_,
    bindparam,
    create_engine,
    event,
    func,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.default import DefaultDialect, DefaultExecutionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Session,
    mapped_column,
    sessionmaker,
)
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator

from cymba import spans

Value = TypeVar("Value")

# Names that PostgreSQL and alembic agree on, so that a migration can drop what it made.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


# A peer that has vanished (a failover, a NAT that forgot) is noticed within half a minute, whether
# we wait for its answer (keepalives) or it does not take what we send (tcp_user_timeout).
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# A server cancels a statement after 30 s. A connection that says nothing for longer is dead, though
# TCP may not know: a proxy between may hold it open.
STATEMENT_S = 30
ANSWER_S = STATEMENT_S + 5.0
LOOK_S = 0.1  # how often a wait looks up: for signals, and for its end
PING_S = 5.0  # as long as a new connection may take
# What every connection is set to.
SESSION = {"timezone": "UTC", "statement_timeout": f"{STATEMENT_S}s", "lock_timeout": "10s"}
SURELY_THERE_S = 1.0  # a pooled connection that was used so lately is not asked whether it lives
_USED_AT_S = "used at"


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for no answer longer than `patience_s`, and then is closed."""

    patience_s: float | None = ANSWER_S  # None: as long as it takes, for migrations
    lies_in_parts: bool | None = None  # what is behind it, once that was asked (`cymba.parts`)

    def wait(self, gen: PQGen[RV], interval: float = LOOK_S, timeout: float | None = None) -> RV:
        if timeout is not None or self.patience_s is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience_s)
        except _WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server did not answer within {self.patience_s:g} s"
            ) from None

    def ping(self) -> None:
        """
        Raises:
            psycopg.OperationalError: it is dead.
        """
        with self.patient(PING_S):
            self.execute("SELECT 1")

    @contextmanager
    def patient(self, for_s: float) -> Iterator[None]:
        """What is asked meanwhile has to be answered within `for_s`."""
        patience_s, self.patience_s = self.patience_s, for_s
        try:
            yield
        finally:
            self.patience_s = patience_s


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


def make_engine(
    url: str, *, pool_size: int = 10, through_pgbouncer: bool = False, **options: Any
) -> Engine:
    """An engine for `url` (`postgresql://…`), through psycopg 3.

    Statements time out rather than hang a request, here and at the server. Callers with long work
    (migrations) set their own `statement_timeout`, and `patience_s` of the `BoundedConnection`.

    The connection that was used last is given out first: it has the hot statements prepared.

    Args:
        through_pgbouncer: PgBouncer stands between and lends a server's connection for one
            transaction. So nothing is kept on a connection: no statement stays prepared, and
            the role has the settings of `SESSION` as its own (`ops.grants`).
    """
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_use_lifo=True,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # an error's text reaches logs, and what is stored is about health
        connect_args={
            "application_name": options.pop("application_name", "cymba"),
            "connect_timeout": 5,
            **KEEPALIVES,
            **(
                {"prepare_threshold": None}
                if through_pgbouncer
                else {"options": " ".join(f"-c {name}={value}" for name, value in SESSION.items())}
            ),
        },
        **options,
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "handle_error", _leave_what_takes_no_writes)
    event.listen(engine, "checkout", _ask_whether_it_lives)
    event.listen(engine, "checkin", _note_its_use)
    if spans.are_recorded():
        record_statements(engine)
    return engine


def record_statements(engine: Engine) -> None:
    """Tell `spans` what is asked over `engine`; what is `Prepared` tells it itself."""
    for one in (DefaultDialect.do_execute, DefaultDialect.do_executemany):
        event.listen(engine, one.__name__, partial(_recorded, one))
    commit = engine.dialect.do_commit

    def recorded_commit(dbapi_connection: PoolProxiedConnection) -> None:
        with spans.statement("COMMIT"):
            commit(dbapi_connection)

    # SQLAlchemy's event of this name comes before it, and none after.
    engine.dialect.do_commit = recorded_commit  # type: ignore[method-assign]


@contextmanager
def reading(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection on which each statement commits itself, for reads whose time counts."""
    held = engine.raw_connection()
    connection = held.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - for mypy
    connection.autocommit = True
    try:
        yield connection
    finally:
        if connection.closed:
            held.invalidate()
            engine.dispose(close=False)  # those that were opened before are likely dead as well
        else:
            connection.autocommit = False
        held.close()


class Prepared:
    """A statement that is written out in SQL once, and that each connection keeps prepared.

    Its rows are plain tuples of what the database sends. To make a hot statement anew at each
    request, and objects of its rows, costs more than the database's own work.
    """

    def __init__(self, statement: ClauseElement, *, binary: bool = False) -> None:
        """`binary`: the rows come as the server holds them, which is less for bytes and arrays."""
        compiled = statement.compile(dialect=_NUMBERED)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for mypy
        self.sql = compiled.string
        self._binary = binary
        self._query = self.sql.encode()
        self._names = compiled.positiontup or []
        self._fixed = compiled.params

    def rows(self, connection: psycopg.Connection[Any], **given: Any) -> list[tuple[Any, ...]]:
        cursor = psycopg.RawCursor(connection)
        with spans.statement(self.sql):
            cursor.execute(self._query, self.values(**given), prepare=True, binary=self._binary)
        return cursor.fetchall()

    def some_at_once(
        self, connection: psycopg.Connection[Any], count: int, **given: Any
    ) -> Iterator[tuple[Any, ...]]:
        """The rows, of which no more than so many are held at once."""
        cursor = psycopg.RawCursor(connection)
        with spans.statement(self.sql):
            yield from cursor.stream(self._query, self.values(**given), size=count)

    def values(self, **given: Any) -> list[Any]:
        """In the order of the statement's numbers; those that it does not name are left out."""
        known = self._fixed | given
        return [known[name] for name in self._names]


def columns_of(row: Any, shape: type[NamedTuple]) -> list[Any]:
    """The columns of a table or query that a named tuple names, in its order."""
    return [getattr(row, name) for name in shape._fields]


def array_of(ids: Iterable[UUID | str | int]) -> str:
    """Ids or numbers for an array of a prepared statement, as PostgreSQL reads it: psycopg looks at
    each one of a list again, which takes longer than to read their rows."""
    return f"{{{','.join(map(str, ids))}}}"


def one_of(column: InstrumentedAttribute[Value], values: Iterable[Value]) -> ColumnElement[bool]:
    """Whether it is one of these values, however many: they are one array. `in_` makes a parameter
    of each, and the statement anew, which for a thousand takes longer than to find them."""
    return column == any_(bindparam(None, list(values), ARRAY(column.type)))


_NUMBERED = postgresql.psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def line_of(session: Session) -> psycopg.Connection[Any]:
    """The connection of a transaction, for a prepared statement that sees all of it."""
    session.flush()
    line = session.connection().connection.driver_connection
    assert isinstance(line, psycopg.Connection)  # noqa: S101 - for mypy
    return line


def _note_its_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT_S] = monotonic()


def _connect(
    _dialect: Dialect, _record: object, given: list[Any], named: dict[str, Any]
) -> BoundedConnection:
    return BoundedConnection.connect(*given, **named)


def _recorded(
    execute: Callable[..., None],
    cursor: object,
    sql: str,
    values: object,
    context: DefaultExecutionContext,
) -> bool:
    with spans.statement(sql):
        execute(context.dialect, cursor, sql, values, context)
    return True  # it is done


def _leave_what_takes_no_writes(context: ExceptionContext) -> None:
    """After a failover the connections from before lead to what is a standby now. So all are opened
    anew, by a URL that may lead elsewhere by now."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def _ask_whether_it_lives(
    connection: BoundedConnection, record: ConnectionPoolEntry, _held: object
) -> None:
    used_at_s = record.info.get(_USED_AT_S)
    if used_at_s is None or monotonic() - used_at_s < SURELY_THERE_S:
        return
    try:
        connection.autocommit = True
        connection.ping()
        connection.autocommit = False
    except psycopg.Error as error:
        raise InvalidatePoolError from error


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
