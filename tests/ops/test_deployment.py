"""The services of docker-compose.yml run here without containers: a first start from nothing, and
an upgrade while people and devices go on.

PostgreSQL is that of the wheel; Mosquitto, nginx, PgBouncer and Prometheus are the distribution's.
Grafana is in no distribution, so it does not run here.
"""

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import trustme

from cymba.devices.provisioning import Credentials
from ops import ports
from tests.collector import Collector, collecting
from tests.end_to_end.devices import ScriptedDevice, ScriptedFleet, session_frames
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.ops.compose_file import BRIDGES, SECRETS, WORKERS, services
from tests.ops.deployment import Deployment
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
FRAMES = 60
PERSON = {"email": "ada@example.org", "password": "correct horse battery", "time_zone": "UTC"}


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


@pytest.fixture
def fleets() -> Iterator[list[ScriptedFleet]]:
    """Ended before the host, whatever else fails."""
    begun: list[ScriptedFleet] = []
    yield begun
    for fleet in begun:
        fleet.stop()


class Outside:
    """Who knows the published ports and the authority of the certificates, and nothing else."""

    def __init__(self, host: Deployment, authority: trustme.CA) -> None:
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        self.broker = host.address("mosquitto")
        self.web = httpx.Client(
            base_url=f"https://{host.address('proxy')}:8443", verify=self.trust, timeout=PATIENCE_S
        )

    def sign_up(self, code: str | None = None) -> int:
        return self.web.post(
            "/v1/accounts", json=PERSON | ({"code": code} if code else {})
        ).status_code

    def sign_in(self, email: str, password: str) -> dict[str, str]:
        answer = self.web.post("/v1/auth/token", json={"email": email, "password": password})
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def device(self, credentials: Credentials, seed: int) -> ScriptedDevice:
        return ScriptedDevice(
            credentials.device_id, credentials.secret, 8883,
            session_frames(store=seed, count=FRAMES, seed=seed),
            frames_per_s=4.0, resend_s=1.5, host=self.broker, tls=self.trust,
        )  # fmt: skip


def certify(host: Deployment) -> trustme.CA:
    """Put a certificate for the broker and the proxy where the page on operating says."""
    authority = trustme.CA()
    issued = authority.issue_cert(host.address("mosquitto"), host.address("proxy"))
    issued.private_key_pem.write_to_path(host.tls / "server.key")
    for part in issued.cert_chain_pems:
        part.write_to_path(host.tls / "server.crt", append=True)
    return authority


def code_of_mail(host: Deployment) -> str:
    """Of the one mail, which became a file in its volume."""
    mails = host.folder / "volumes" / "outbox" / "outbox"
    wait_until(lambda: bool(list(mails.glob("*.eml"))), what="the mail is sent")
    (mail,) = mails.glob("*.eml")
    return re.findall(r"^    ([\w=-]+)$", mail.read_text(), re.MULTILINE)[-1]


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
    host: Deployment,
    environ: dict[str, str],
    collector: Collector,
    fleets: list[ScriptedFleet],
    tmp_path: Path,
) -> None:
    # A first start: no password file, no certificate, an empty database, and nobody in it.
    host.up(*DEFAULT)
    assert not ports.is_taken(host.address("proxy"), 8443)
    assert not ports.is_taken(host.address("mosquitto"), 8883)
    made = host.operate("account create op@example.org --role operator --generate")
    operator_password = re.findall(r"password +(\S+)", made)[0]
    made = host.operate("device provision --model ear_cymba --csv -")
    worn = Credentials(*made.splitlines()[1].split(",")[: len(Credentials._fields)])
    host.up("prometheus")
    authority = certify(host)
    for name in ("mosquitto", "proxy"):
        host.restart(name)

    # A person signs up, and their device's first frames are freed.
    outside = Outside(host, authority)
    assert outside.sign_up() == 202
    assert outside.sign_up(code_of_mail(host)) == 201
    person = outside.sign_in(PERSON["email"], PERSON["password"])
    claim = {"serial": worn.serial, "code": worn.claim_code}
    assert outside.web.post("/v1/devices/claim", json=claim, headers=person).status_code == 201
    fleet = ScriptedFleet([outside.device(worn, 7)])
    fleets.append(fleet)
    fleet.allow(0.2)
    fleet.start()
    wait_until(lambda: fleet.freed >= 0.2 * FRAMES, what="the first frames are freed")

    wait_until(
        lambda: set(asked_by_prometheus(host).values()) == {"up"},
        what=lambda: f"Prometheus reaches all: {asked_by_prometheus(host)}",
    )

    # The next release, while both go on.
    pushed = Steady(
        lambda: outside.web.post("/v1/sync", json={"operations": [rating(7)]}, headers=person)
    )
    read = Steady(lambda: outside.web.get("/v1/account", headers=person))
    with pushed, read:
        fleet.allow(0.8)
        wait_until(lambda: pushed.done > 2 and read.done > 2, what="requests are answered")
        upgrade(host, environ, tmp_path / "next")
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
        found = outside.web.get("/v1/sessions", headers=person).json()["items"]
        return [{key: one[key] for key in ("state", "completeness")} for one in found]

    whole = [{"state": "ended", "completeness": 1.0}]
    wait_until(lambda: sessions() == whole, what=lambda: f"its session is whole: {sessions()}")

    # What the operator sees of it.
    operator = outside.sign_in("op@example.org", operator_password)
    status = outside.web.get("/v1/operator/status", headers=operator)
    assert status.status_code == 200
    query(host, "SELECT pg_switch_wal()")
    archived = "SELECT archived_count > 0 AND last_failed_wal IS NULL FROM pg_stat_archiver"
    wait_until(lambda: query(host, archived) == [(True,)], what="the WAL is archived")
    (host.folder / "volumes" / "archive").joinpath("000000010000000000000001").stat()
    names = list(reversed(host.running))
    assert {name: host.stop(name) for name in names} == dict.fromkeys(names, 0)
    check_traces(collector, [PERSON["email"], PERSON["password"], worn.device_id, worn.serial])
