"""The role of the services, and an audit log that it wrote."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine

from cymba.accounts.audit import Actor, note
from cymba.accounts.profile import register
from cymba.database import UnitOfWork, make_engine
from cymba.rights.erasure import ErasureKeys
from ops import grants

ROLE = "cymba_service"
KEYS = ErasureKeys.of(b"a secret of enough characters to sign with")
ERASE = "SELECT erase_account(%s, %s, '{}')"


def as_role(engine: Engine, role: str = ROLE) -> str:
    return engine.url.set(drivername="postgresql", username=role).render_as_string(False)


@pytest.fixture
def granted(engine: Engine) -> Engine:
    assert isinstance(grants.grant(engine, ROLE), grants.Granted)
    return engine


@pytest.fixture
def service(granted: Engine) -> Iterator[Engine]:
    """An engine that connects as the services do."""
    engine = make_engine(as_role(granted))
    yield engine
    engine.dispose()


@pytest.fixture
def logged(service: Engine) -> str:
    """The id of an account with an entry in its audit log."""
    with UnitOfWork(service) as session, session.begin():
        account = register(session, email="ana@example.org", password="correct horse battery")
        note(session, account.id, Actor("person", str(account.id)), "sessions.read", clinician="x")
        return str(account.id)


def refused(engine: Engine, statement: str, *before: str, role: str = ROLE) -> None:
    with psycopg.connect(as_role(engine, role)) as connection:
        for other in before:
            connection.execute(other)
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
