"""One `cymba api` for all tests of the real server, and an nginx for each that needs one.

A server takes seconds to start. So the tests here share a database too: each has its own people,
addresses and e-mails, and finds what the others have left.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.postgres import EmbeddedPostgres
from tests.kept_database import new_database
from tests.service.conftest import SECRET_KEY
from tests.service.http.served.parts import TRUSTED_PROXIES, ApiProcess, Proxied


@pytest.fixture(scope="package")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with new_database(postgres_server.url) as url:
        yield url


@pytest.fixture(scope="package")
def environ(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a server needs to know."""
    return {
        "CYMBA_DATABASE_URL": database_url,
        "CYMBA_SECRET_KEY": SECRET_KEY,
        "CYMBA_DATA_DIR": str(tmp_path_factory.mktemp("api")),
        "CYMBA_TRUSTED_PROXIES": TRUSTED_PROXIES,
    }


@pytest.fixture(scope="package")
def running_api(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    api = ApiProcess(tmp_path_factory.mktemp("api") / "api.log", environ)
    yield api
    api.stop()


@pytest.fixture
def api(running_api: ApiProcess) -> ApiProcess:
    """The shared server, started again if a test has stopped it."""
    running_api.start()
    return running_api


@pytest.fixture
def proxied(api: ApiProcess, tmp_path: Path) -> Iterator[Proxied]:
    """The server behind an nginx that is still to be started."""
    proxied = Proxied(tmp_path, api)
    yield proxied
    proxied.stop()


@pytest.fixture
def proxy(proxied: Proxied) -> Proxied:
    proxied.start()
    return proxied
