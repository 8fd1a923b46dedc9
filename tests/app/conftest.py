"""The companion in a browser, on a server of its own.

One server, one browser and one database for the tests of a file: while the browser is driven, a
loop runs in this thread, in which no other test could start its own. Each test makes people of its
own, and a browser's context, which keeps what a phone of its own would keep.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from copy import copy
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Engine

from cymba.database import make_engine
from cymba.settings import Settings
from ops.postgres import EmbeddedPostgres
from tests.app.phones import AppServer, Phones
from tests.kept_database import new_database
from tests.programs import CHROMIUM, needs
from tests.service.conftest import SECRET_KEY, app_with

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(needs("chromium"))
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with new_database(postgres_server.url) as url:
        yield url


@pytest.fixture(scope="module")
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    folder = tmp_path_factory.mktemp("companion")
    app = app_with(Settings(data_dir=folder, secret_key=SECRET_KEY), engine)
    app.config = copy(app.config)  # a test puts another build of the app there
    return app


@pytest.fixture(scope="module")
def server(app: Flask) -> Iterator[AppServer]:
    server = AppServer(app)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def phones(browser: Browser, server: AppServer, engine: Engine) -> Iterator[Phones]:
    """Makes phones. At the end none of them has asked another server, or met an error."""
    with ExitStack() as stack:
        phones = Phones(browser, server, engine, stack)
        yield phones
        assert phones.elsewhere == []
        assert phones.errors == []
