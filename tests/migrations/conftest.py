"""An empty database of its own for each test of the migrations."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cymba.database import make_engine
from ops.postgres import EmbeddedPostgres
from tests.kept_database import new_database


@pytest.fixture
def empty_engine(postgres_server: EmbeddedPostgres) -> Iterator[Engine]:
    with new_database(postgres_server.url, template="template1") as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()
