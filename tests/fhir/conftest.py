"""The records of three people, made once for all tests here: none changes them."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.fhir.record import ALL_PARTS, RecordOwner
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.search import ReadUpTo, ResourceReader, Search, legs
from cymba.rights.export import export
from cymba.settings import Settings
from ops.postgres import EmbeddedPostgres
from service.http.services import Services
from tests.fhir.people import live_three
from tests.kept_database import new_database
from tests.service.conftest import SECRET_KEY, app_with


class Three(NamedTuple):
    engine: Engine
    app: Flask
    ids: tuple[UUID, ...]

    def token(self, account_id: UUID) -> str:
        edge: Services = self.app.extensions["cymba"]
        with UnitOfWork(self.engine) as session, session.begin():
            return sign_in(session, edge.signer, account_id, utc_now()).access_token


@pytest.fixture(scope="package")
def three(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Three]:
    with new_database(postgres_server.url) as url:
        engine = make_engine(url)
        settings = Settings(data_dir=tmp_path_factory.mktemp("fhir"), secret_key=SECRET_KEY)
        yield Three(engine, app_with(settings, engine), live_three(engine))
        engine.dispose()


def read_whole(engine: Engine, account_id: UUID, search: Search, count: int = 50) -> list[Any]:
    owner, after = RecordOwner(account_id, is_own=True), None
    found: list[Any] = []
    with UnitOfWork(engine) as session:
        reader = ResourceReader(session, owner, legs(list(RESOURCE_TYPES.values()), ALL_PARTS))
        while True:
            page = reader.page(search, after=after, count=count)
            found += page.resources
            if page.next_place is None:
                return found
            after = ReadUpTo(*page.next_place)


@pytest.fixture(scope="package")
def records(three: Three) -> dict[UUID, list[dict[str, Any]]]:
    """By person, every resource of their record."""
    return {one: read_whole(three.engine, one, Search()) for one in three.ids}


@pytest.fixture(scope="package")
def archives(three: Three) -> dict[UUID, dict[str, bytes]]:
    """By person, the members of their archive."""
    found = {}
    for one in three.ids:
        with UnitOfWork(three.engine) as session:
            body = b"".join(export(session, one, schema_version="1", now=utc_now()))
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            found[one] = {name: archive.read(name) for name in archive.namelist()}
    return found


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """What is asked of the database."""
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    return asked
