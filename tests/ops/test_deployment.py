"""The services of docker-compose.yml run here without containers: a first start from nothing, and
an upgrade while people and devices go on.

PostgreSQL is that of the wheel; Mosquitto, nginx, PgBouncer and Prometheus are the distribution's.
Grafana is in no distribution, so it does not run here.
"""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from ops import ports
from tests.collector import Collector, collecting
from tests.end_to_end.parts import wait_until
from tests.ops.compose_file import BRIDGES, SECRETS, WORKERS, services
from tests.ops.deployment import Deployment
from tests.ops.first_start import PERSON, FirstStart, PublicAddresses, first_start
from tests.ops.next_release import REVISION, next_release
from tests.programs import needs

pytestmark = [
    pytest.mark.slow,
    *map(needs, ("mosquitto", "nginx", "pgbouncer", "prometheus")),
]
DEFAULT = ["db", "migrate", "credentials", "mosquitto", "api", "proxy", *BRIDGES, *WORKERS]
THROUGH_PGBOUNCER = {
    "DATABASE_ADDRESS": "pgbouncer:6432",
    "CYMBA_DATABASE_THROUGH_PGBOUNCER": "1",
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def environ(collector: Collector) -> dict[str, str]:
    """What `.env` says besides the secrets. 127.0.0.1 would be each service's own address."""
    named = collector.environ["OTEL_EXPORTER_OTLP_ENDPOINT"].replace("127.0.0.1", "localhost")
    return {"WAL_ARCHIVE_MODE": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": named}


@pytest.fixture
def host(tmp_path: Path, environ: dict[str, str]) -> Iterator[Deployment]:
    deployed = Deployment(tmp_path / "host", environ)
    yield deployed
    deployed.close()


class Steady:
    """Does the same again and again meanwhile, and keeps what failed."""

    def __init__(self, act: Callable[[], httpx.Response]) -> None:
        self.failed: list[str] = []
        self.done = 0
        self._act = act
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Steady":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            try:
                answer = self._act()
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            else:
                self.done += 1
                if not answer.is_success:
                    self.failed.append(f"{answer.status_code} {answer.text}")


def rating(value: int) -> dict[str, Any]:
    fields = {
        "felt_at": "2026-03-01T20:00:00Z", "time_zone": "UTC", "items": {"pain_now": value % 11},
    }  # fmt: skip
    return {
        "id": str(uuid4()), "kind": "diary-entry", "action": "put", "entity_id": str(uuid4()),
        "base_version": 0, "builds_on": [], "fields": fields,
    }  # fmt: skip


def upgrade(host: Deployment, environ: dict[str, str], folder: Path) -> None:
    """As the page on operating says, with PgBouncer from then on."""
    host.code = next_release(folder)
    host.services = services(environ | THROUGH_PGBOUNCER)
    host.start("migrate")
    host.up("pgbouncer")
    host.start("api")  # a second one beside the first, which goes then
    host.wait_healthy("api")
    wait_until(lambda: len(host.names.told["api"]) == 2, what="the proxy knows both")
    assert host.stop("api before") == 0
    host.restart("bridge-1")  # all others go the same way; each costs seconds here


def query(host: Deployment, statement: str) -> list[tuple[Any, ...]]:
    """As the owner of the tables."""
    password = SECRETS["POSTGRES_PASSWORD"]
    url = f"postgresql://cymba:{password}@{host.address('db')}:5432/cymba"
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def asked_by_prometheus(host: Deployment) -> dict[str, str]:
    """How the last scrape of each target went."""
    url = f"http://{host.address('prometheus')}:9090/api/v1/targets"
    found = httpx.get(url).json()["data"]["activeTargets"]
    return {one["discoveredLabels"]["__address__"]: one["health"] for one in found}


def check_traces(collector: Collector, said: list[str]) -> None:
    """Each process has told of its work, and of nobody and nothing that was said."""
    own = {f"cymba {name}" for name in ("api", *BRIDGES, *WORKERS)}
    wait_until(
        lambda: collector.processes() == own,
        what=lambda: f"traces of all, and not of {collector.processes()} alone",
    )
    told = b"".join(collector.bodies)
    assert [one for one in said if one.encode() in told] == []


def test_from_nothing_to_the_next_release_without_a_lost_frame_or_request(
    host: Deployment, environ: dict[str, str], collector: Collector, tmp_path: Path
) -> None:
    # A first start: no password file, no certificate, an empty database, and nobody in it.
    host.up(*DEFAULT)
    assert not ports.is_taken(host.address("proxy"), 8443)
    assert not ports.is_taken(host.address("mosquitto"), 8883)
    host.up("prometheus")
    public = PublicAddresses(host.address("mosquitto"), host.address("proxy"), 8443)
    with first_start(host, public) as outside:
        wait_until(
            lambda: set(asked_by_prometheus(host).values()) == {"up"},
            what=lambda: f"Prometheus reaches all: {asked_by_prometheus(host)}",
        )
        lose_archive(host)
        go_on(outside, host, environ, tmp_path / "next")
        operator = outside.operator()
        assert outside.web.get("/v1/operator/status", headers=operator).status_code == 200
        wait_until(lambda: archive_is_behind(host), what="it is told that the archive lacks some")
        gone_archive(host).rename(archive_of(host))
        assert shown(host, "api", "cymba_spans_sent_total")[0] > 0
    names = list(reversed(host.running))
    assert {name: host.stop(name) for name in names} == dict.fromkeys(names, 0)
    worn = outside.worn
    check_traces(collector, [PERSON["email"], PERSON["password"], worn.device_id, worn.serial])


def go_on(outside: FirstStart, host: Deployment, environ: dict[str, str], release: Path) -> None:
    """The next release, while a person and a device go on."""
    web, fleet, person = outside.web, outside.fleet, outside.person
    pushed = Steady(lambda: web.post("/v1/sync", json={"operations": [rating(7)]}, headers=person))
    read = Steady(lambda: web.get("/v1/account", headers=person))
    with pushed, read:
        fleet.allow(0.8)
        wait_until(lambda: pushed.done > 2 and read.done > 2, what="requests are answered")
        upgrade(host, environ, release)
        asked = (pushed.done, read.done)
        wait_until(
            lambda: pushed.done > asked[0] + 2 and read.done > asked[1] + 2, what="still they are"
        )
    assert pushed.failed == []
    assert read.failed == []
    fleet.allow(1.0)
    wait_until(lambda: fleet.done, what=lambda: f"all is freed but {fleet.in_flash}")
    assert query(host, "SELECT version_num FROM alembic_version") == [(REVISION,)]
    assert query(host, "SELECT count(*), count(DISTINCT id) FROM diary_entry") == [
        (pushed.done, pushed.done)
    ]

    def sessions() -> list[dict[str, Any]]:
        found = web.get("/v1/sessions", headers=person).json()["items"]
        return [{key: one[key] for key in ("state", "completeness")} for one in found]

    whole = [{"state": "ended", "completeness": 1.0}]
    wait_until(lambda: sessions() == whole, what=lambda: f"its session is whole: {sessions()}")


def archive_of(host: Deployment) -> Path:
    return host.folder / "volumes" / "archive"


def gone_archive(host: Deployment) -> Path:
    return archive_of(host).with_name("gone")


def lose_archive(host: Deployment) -> None:
    """Segments get there. Then it is gone, and a segment ends."""
    query(host, "SELECT pg_switch_wal()")
    archived = "SELECT archived_count > 0 AND last_failed_wal IS NULL FROM pg_stat_archiver"
    wait_until(lambda: query(host, archived) == [(True,)], what="the WAL is archived")
    (archive_of(host) / "000000010000000000000001").stat()
    archive_of(host).rename(gone_archive(host))
    query(host, "SELECT pg_logical_emit_message(false, 'a', 'b', true), pg_switch_wal()")


def archive_is_behind(host: Deployment) -> bool:
    seconds, bytes_ = (shown(host, "watch", f"cymba_archive_lag_{unit}")
                       for unit in ("seconds", "bytes"))  # fmt: skip
    return seconds > [0] and bytes_ > [0]


def shown(host: Deployment, name: str, metric: str) -> list[float]:
    """None yet, or one."""
    text = httpx.get(f"http://{host.address(name)}:9100/metrics").text
    return [float(one) for one in re.findall(rf"^{metric} (\S+)$", text, re.MULTILINE)]
