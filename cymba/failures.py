"""What to make of an exception: whose fault it is, and what may be said of it.

One judgement for every process. The codes are PostgreSQL's SQLSTATEs (appendix A).
"""

import re
from enum import Enum, auto
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Fault(Enum):
    OUTAGE = auto()  # nobody fares better at the moment: wait
    STATEMENT = auto()  # what others did at the same time was in its way: try it again
    ITEM = auto()  # the data's, or a defect of ours that the data brings out


# What began with another transaction, or took too long, ends with this statement.
_STATEMENT = (
    "40",  # a deadlock, a serialization failure
    "55P03",  # a lock that was not given in time
    "55006",  # an object in use
    "57014",  # cancelled: the statement's own timeout, or an operator
    "25P03",  # the transaction lay idle for too long; the next one need not
    "25P04",  # the transaction took too long
)
_OUTAGE = (
    "08",  # the connection
    "28",  # the database lets our user in no more
    "3D000",  # there is no such database
    "53",  # full disk, no memory, no connection left
    "57P",  # shut down, crashed, starting up
    "58",  # the system under it: input and output
    "25006",  # a standby, or read-only for another reason
    # The schema or the rights are not yet what this code needs: no item fares better.
    "42P01",  # a table
    "42703",  # a column
    "42501",  # a right
)


def fault_of(error: BaseException) -> Fault:
    if isinstance(error, PoolTimeout):
        return Fault.OUTAGE
    state = sqlstate(error)
    if state is not None:
        if state.startswith(_STATEMENT):
            return Fault.STATEMENT
        return Fault.OUTAGE if state.startswith(_OUTAGE) else Fault.ITEM
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Fault.OUTAGE
    # Without a code the server has said nothing: there is no connection, or it is gone.
    silent = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
    return Fault.OUTAGE if isinstance(error, silent) else Fault.ITEM


def is_outage(error: BaseException) -> bool:
    return fault_of(error) is Fault.OUTAGE


def is_passing(error: BaseException) -> bool:
    """The same may work later, whatever it was about."""
    return fault_of(error) is not Fault.ITEM


def is_refused(error: BaseException) -> bool:
    """The database refuses the data, or has no form for it: it never takes the same."""
    state = sqlstate(error)
    if state is None:
        return isinstance(_original(error), (psycopg.DataError, UnicodeError, OverflowError))
    return state.startswith(("22", "23"))


def is_duplicate(error: BaseException) -> bool:
    """Another row has the key."""
    return sqlstate(error) == _CODES["unique"]


def sqlstate(error: BaseException) -> str | None:
    original = _original(error)
    state: str | None = getattr(original, "sqlstate", None)
    if state == _INTERNAL:
        said = str(original).partition("\n")[0]
        if said.startswith(_NODE_GONE):
            return "08006"
        refusal = _REFUSAL.search(said)
        return state if refusal is None else _CODES[refusal[1]]
    return state


# What another node of Citus refuses of the rows that a statement copies to it comes with the text
# of that node and without its code.
_INTERNAL: Final = "XX000"
_REFUSAL: Final = re.compile(r"violates (not-null|foreign key|unique|check) constraint")
# A connection of Citus to a node that has stopped or started again since.
_NODE_GONE: Final = "failure on connection marked as essential: "
_CODES: Final = {"not-null": "23502", "foreign key": "23503", "unique": "23505", "check": "23514"}


def name_of(error: BaseException) -> str:
    """What may be logged of any error: `DiskFull 53100`. Its text may quote what was written."""
    name = type(_original(error)).__name__
    state = sqlstate(error)
    return f"{name} {state}" if state else name


def _original(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def place_of(error: BaseException) -> str:
    """Where it was raised, as `module:line` from the outermost call to the innermost."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "?")
        places.append(f"{name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-8:])
