"""An empty database of its own for each test of the migrations."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from cymba.database import make_engine
from ops.postgres import EmbeddedPostgres


@pytest.fixture
def empty_engine(postgres_server: EmbeddedPostgres) -> Iterator[Engine]:
    name = f"empty_{uuid4().hex}"
    admin = make_engine(postgres_server.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = make_engine(
        make_url(postgres_server.url).set(database=name).render_as_string(hide_password=False)
    )
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
