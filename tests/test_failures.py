"""One judgement of what a failure means, for every process."""

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cymba.failures import Fault, fault_of, is_duplicate, is_refused, name_of


def failed(sqlstate: str, text: str = "ada@example.org") -> DBAPIError:
    """As SQLAlchemy raises what the server said."""
    original = psycopg.errors.lookup(sqlstate)(text)
    error = DBAPIError.instance("SELECT 1", None, original, psycopg.Error)
    assert isinstance(error, DBAPIError)
    return error


OUTAGES = [
    "08006", "08P01", "28P01", "3D000", "53100", "53200", "53300", "57P01", "57P02", "57P03",
    "58030", "25006", "42P01", "42703", "42501",
]  # fmt: skip
OF_THE_STATEMENT = ["40001", "40P01", "55P03", "57014", "25P03"]
OF_THE_ITEM = ["21000", "22003", "22P02", "23505", "23514", "42601", "54000", "P0001", "XX001"]


@pytest.mark.parametrize(
    ("sqlstate", "fault"),
    [
        *((state, Fault.OUTAGE) for state in OUTAGES),
        *((state, Fault.STATEMENT) for state in OF_THE_STATEMENT),
        *((state, Fault.ITEM) for state in OF_THE_ITEM),
    ],
)
def test_what_the_server_says_decides(sqlstate: str, fault: Fault) -> None:
    error = failed(sqlstate)
    assert fault_of(error) is fault
    assert fault_of(error.orig or error) is fault  # also for psycopg without SQLAlchemy
    assert name_of(error) == f"{type(error.orig).__name__} {sqlstate}"


@pytest.mark.parametrize(
    ("sqlstate", "text", "refused", "duplicate"),
    [
        ("23505", "", True, True),
        ("23503", "", True, False),
        ("22P02", "", True, False),
        ("57014", "", False, False),
        # Of rows that Citus copied to another node.
        ("XX000", 'duplicate key value violates unique constraint "pk_frame_7"', True, True),
        ("XX000", 'null value in column "a" violates not-null constraint', True, False),
        ("XX000", 'new row for relation "a" violates check constraint "b"', True, False),
        ("XX000", 'insert on table "a" violates foreign key constraint "b"', True, False),
        ("XX000", "cache lookup failed for type 7", False, False),
        ("XX000", "no\nDETAIL:  (violates unique constraint)", False, False),  # a person's words
    ],
)
def test_what_the_database_refuses_is_told_by_its_code(
    sqlstate: str, text: str, refused: bool, duplicate: bool
) -> None:
    error = failed(sqlstate, text)
    assert (is_refused(error), is_duplicate(error)) == (refused, duplicate)
    assert is_refused(error.orig or error) is refused
    assert fault_of(error) is (Fault.STATEMENT if sqlstate == "57014" else Fault.ITEM)


def test_a_node_of_citus_that_went_away_is_an_outage() -> None:
    gone = "failure on connection marked as essential: 192.0.2.7:5432"
    assert fault_of(failed("XX000", gone)) is Fault.OUTAGE
    assert name_of(failed("XX000", gone)) == "InternalError_ 08006"
    assert fault_of(failed("XX000", f"no\nDETAIL:  ({gone})")) is Fault.ITEM  # a person's words


def test_a_server_that_cannot_be_reached_is_an_outage() -> None:
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(DBAPIError) as refused:
        nobody.connect()
    assert fault_of(refused.value) is Fault.OUTAGE


def test_a_connection_that_was_cut_is_an_outage(engine: Engine) -> None:
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(DBAPIError) as cut:
            connection.execute(text("SELECT 1"))
    assert fault_of(cut.value) is Fault.OUTAGE


def test_a_pool_without_a_free_connection_is_an_outage() -> None:
    assert fault_of(PoolTimeout("of size 1 overflow 0")) is Fault.OUTAGE


def test_data_that_no_statement_can_carry_is_the_items_own(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(Exception, match="NUL") as refused:
        connection.execute(text("SELECT :text"), {"text": "a\0b"})
    assert is_refused(refused.value)
    assert not is_refused(RuntimeError("a defect"))
    assert fault_of(refused.value) is Fault.ITEM
    assert fault_of(RuntimeError("a defect")) is Fault.ITEM
