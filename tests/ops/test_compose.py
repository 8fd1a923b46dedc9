"""docker-compose.yml, its own commands run here without containers: PostgreSQL embedded, and a
real Mosquitto with the shipped entrypoint, configuration and access list.

A machine without Mosquitto runs the embedded broker and one bridge instead; CI must have it.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import cbor2
import paho.mqtt.client as mqtt
import psycopg
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from cymba.accounts.profile import register
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.claiming import Claimed, claim
from ops import ports, postgres
from tests.end_to_end.parts import PATIENCE_S
from tests.programs import IN_CI, MOSQUITTO

ROOT = Path(__file__).parents[2]
SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret",
    "SERVICE_DATABASE_PASSWORD": "service-secret",
    "CYMBA_SECRET_KEY": "s" * 48,
    "BRIDGE_PASSWORD": "bridge-secret",
    "HEALTH_PASSWORD": "health-secret",
}
ONE_SHOT = {"migrate"}
BRIDGES = ["bridge-0", "bridge-1"] if MOSQUITTO else ["bridge-0"]
WORKERS = ["seal", "insights", "mail"]


def interpolated(value: Any) -> Any:
    """As compose reads it: `${NAME:?…}`, `${NAME:-default}` and `$$`."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, _, rest = match[1].partition(":")
        return SECRETS[name] if rest.startswith("?") else rest.removeprefix("-")

    return re.sub(r"\$\$|\$\{([^}]*)\}", replace, value)


RAW: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = interpolated(RAW)["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert str(service["user"]).partition(":")[0] not in {"", "0", "root"}
    assert not re.search(r":latest$", service["image"])
    assert "privileged" not in service
    assert re.fullmatch(r"[0-9]+[mg]", service["mem_limit"])
    assert int(service["pids_limit"]) <= 512
    assert ("healthcheck" in service) is (name not in ONE_SHOT)


HOSTS = re.compile("(?:@|//)(" + "|".join(SERVICES) + r"):[0-9]+")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_meets_those_that_it_speaks_with(name: str) -> None:
    networks = set(SERVICES[name]["networks"])
    assert networks <= RAW["networks"].keys()
    spoken_with = set(
        HOSTS.findall(" ".join(map(str, SERVICES[name].get("environment", {}).values())))
    )
    if name == "proxy":
        spoken_with.add("api")
    for other in spoken_with:
        assert networks & set(SERVICES[other]["networks"]), f"{name} does not reach {other}"


def test_what_speaks_with_nobody_outside_reaches_nobody_outside() -> None:
    inside = {name for name, network in RAW["networks"].items() if (network or {}).get("internal")}
    outside = {name for name, one in SERVICES.items() if set(one["networks"]) - inside}
    assert outside == {"proxy", "api", "mosquitto", "mail"}


def test_the_keys_are_the_apis_alone() -> None:
    holding = {name for name, one in SERVICES.items() if "data:/data" in one.get("volumes", [])}
    assert holding == {"api"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_written_down(name: str) -> None:
    for variable, value in RAW["services"][name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|URL", variable) and not value.endswith("//mosquitto:1883"):
            # From the environment: required there, or empty without it.
            assert re.search(r"\$\{\w+:(\?|-\})", value), f"{variable} of {name}"


def test_every_secret_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    asked_for = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert asked_for == set(SECRETS)
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in asked_for)


def test_only_migrations_work_as_the_owner_of_the_tables() -> None:
    for name, service in SERVICES.items():
        url = service.get("environment", {}).get("CYMBA_DATABASE_URL", "")
        owner = f"//{SERVICES['db']['environment']['POSTGRES_USER']}:"
        assert (owner in url) is (name == "migrate"), name


def test_the_api_is_reached_through_its_proxy_alone() -> None:
    # It believes whom the one proxy names; tests/service/http/served runs the two.
    assert "ports" not in SERVICES["api"]
    assert SERVICES["api"]["environment"]["CYMBA_TRUSTED_PROXIES"] == "1"
    published = [str(port).rpartition(":")[2] for port in SERVICES["proxy"]["ports"]]
    listened = re.findall(
        r"^\s*listen (\d+)",
        "".join((ROOT / "deploy" / "nginx" / f"{n}.conf").read_text() for n in ("nginx", "tls")),
        re.MULTILINE,
    )
    assert published == listened
    assert "api:8000" in (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()


def test_the_image_is_not_roots_and_its_parts_are_locked() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE) == ["10001:10001"]
    for line in re.findall(r"pip install.*", dockerfile):
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for folder in project["tool"]["importlinter"]["root_packages"]:
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}/" in (ROOT / ".dockerignore").read_text()


class Deployment:
    """The services as processes of this machine: same commands, same variables, other addresses."""

    def __init__(self, folder: Path, socket_folder: Path) -> None:
        self.folder = folder
        self.socket_folder = socket_folder
        self.mqtt_port = ports.free_port()
        self.http_port = ports.free_port()
        self.metrics_ports = {name: ports.free_port() for name in ("api", *BRIDGES, *WORKERS)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for sub in ("credentials", "tmp"):
            (folder / sub).mkdir(parents=True)

    def local(self, name: str, word: str) -> str:
        """A word of a command, variable or health check, with this machine's addresses."""
        here = {
            # Users and passwords stay as compose has them.
            r"@db:5432/cymba$": f"@/cymba?host={self.socket_folder}",
            r"/(credentials|tmp)/": f"{self.folder}/\\1/",
            r"0\.0\.0\.0": "127.0.0.1",
            r"mosquitto:1883": f"127.0.0.1:{self.mqtt_port}",
            r"\b8000\b": str(self.http_port),
            r"\b9100\b": str(self.metrics_ports.get(name, 9100)),
        }
        for pattern, address in here.items():
            replaced = re.sub(pattern, address, word)
            if replaced != word:
                return replaced
        return word

    def environ(self, name: str) -> dict[str, str]:
        own = {
            variable: self.local(name, str(value))
            for variable, value in SERVICES[name].get("environment", {}).items()
        }
        if MOSQUITTO is None and "CYMBA_BRIDGE_SLOTS" in own:
            own["CYMBA_BRIDGE_SLOTS"] = "1"  # the embedded broker shares no subscriptions
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CYMBA_")}
        return clean | {"CYMBA_DATA_DIR": str(self.folder / "data")} | own

    def command(self, name: str) -> list[str]:
        words = [self.local(name, str(word)) for word in SERVICES[name]["command"]]
        return [sys.executable, "-m", "ops", *words]

    def run(self, name: str) -> None:
        subprocess.run(self.command(name), env=self.environ(name), check=True, timeout=PATIENCE_S)

    def start(self, name: str, command: list[str] | None = None, **environ: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command or self.command(name),
                env=self.environ(name) | environ,
                stdout=log,
                stderr=log,
            )

    def operate(self, command: str) -> str:
        """`docker compose run --rm api …`, as the head of the compose file says."""
        return subprocess.run(
            [sys.executable, "-m", "ops", *shlex.split(command)],
            env=self.environ("api"), capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        ).stdout  # fmt: skip

    def start_broker(self) -> None:
        if MOSQUITTO is None:
            environ = self.environ("bridge-0")
            self.start("mosquitto", [sys.executable, "-m", "ops", "broker"], **environ)
            return
        config, run, data = (self.folder / name for name in ("config", "run", "mosquitto-data"))
        shutil.copytree(ROOT / "deploy" / "mosquitto", config)
        run.mkdir()
        data.mkdir()
        file = config / "mosquitto.conf"
        file.write_text(
            file.read_text()
            .replace("listener 1883", f"listener {self.mqtt_port} 127.0.0.1")
            .replace("/mosquitto/run/", f"{run}/")
            .replace("/mosquitto/data/", f"{data}/")
            + ("\nuser root\n" if os.geteuid() == 0 else "")
        )
        entrypoint = [
            word.replace("/mosquitto/config", str(config))
            for word in SERVICES["mosquitto"]["entrypoint"]
        ]
        self.start(
            "mosquitto",
            entrypoint,
            PATH=f"{os.environ['PATH']}:/usr/sbin",
            MOSQUITTO_CONFIG=str(config),
            MOSQUITTO_RUN=str(run),
            MOSQUITTO_CREDENTIALS=str(self.folder / "credentials"),
        )

    def is_healthy(self, name: str) -> bool:
        """The service's own health check, said once."""
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        words = [self.local(name, word) for word in words]
        if name == "mosquitto" and MOSQUITTO is None:
            return ports.is_taken("127.0.0.1", self.mqtt_port)
        if name == "mosquitto":
            at = f"mosquitto_sub -h 127.0.0.1 -p {self.mqtt_port}"
            words = ["/bin/sh", "-c", words[0].replace("mosquitto_sub", at)]
        elif kind == "CMD-SHELL":
            words = ["/bin/sh", "-c", words[0]]
        elif words[0] == "python":
            words[0] = sys.executable
        check = subprocess.run(
            words, env=self.environ(name), capture_output=True, check=False, timeout=PATIENCE_S
        )
        return check.returncode == 0

    def wait_healthy(self, name: str) -> None:
        while not self.is_healthy(name):
            status = self.processes[name].poll()
            assert status is None, f"{name}: {(self.folder / f'{name}.log').read_text()}"
            time.sleep(0.2)

    def stop(self) -> dict[str, int]:
        statuses = {}
        for name, process in reversed(self.processes.items()):
            process.terminate()
            try:
                statuses[name] = process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                statuses[name] = process.wait()
        self.processes.clear()
        return statuses


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """A PostgreSQL as the service `db` is at a first start: its superuser, an empty database, and
    nobody let in without a password. The folder of its socket."""
    server = postgres.start(tmp_path / "postgres")
    owner = {"user": sql.Identifier("cymba"), "password": SECRETS["POSTGRES_PASSWORD"]}
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD {password}").format(**owner)
        )
        admin.execute("CREATE DATABASE cymba OWNER cymba")
        asked = "local all postgres trust\nlocal all all scram-sha-256\n"
        (tmp_path / "postgres" / "pg_hba.conf").write_text(asked)
        admin.execute("SELECT pg_reload_conf()")
    yield Path(make_url(server.url).query["host"])  # type: ignore[arg-type]
    server.stop()


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    """The database as its owner sees it."""
    url = f"postgresql://cymba:{SECRETS['POSTGRES_PASSWORD']}@/cymba?host={database}"
    engine = make_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def deployment(tmp_path: Path, database: Path) -> Iterator[Deployment]:
    assert MOSQUITTO or not IN_CI, "mosquitto is not installed"
    deployed = Deployment(tmp_path / "host", database)
    yield deployed
    deployed.stop()


class DeviceClient:
    """A device that is nobody's here: paho, its own name, and what it hears."""

    def __init__(self, deployment: Deployment, user: str, secret: str) -> None:
        self.user = user
        self.heard: list[dict[str, Any]] = []
        self.acked = threading.Event()
        self.answer: int | None = None
        self.answered = threading.Event()
        self.lost = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user)
        self.client.username_pw_set(user, secret)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.connect("127.0.0.1", deployment.mqtt_port)
        self.client.loop_start()

    def _on_connect(self, client: mqtt.Client, *arguments: Any) -> None:
        self.answer = arguments[2].value
        client.subscribe([(f"cymba/v1/{self.user}/down/#", 1), ("cymba/v1/+/down/#", 1)])
        self.answered.set()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: Any) -> None:
        self.heard.append({"topic": message.topic, "payload": message.payload})
        self.acked.set()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.slow
def test_the_deployment_takes_a_frame_from_a_device_that_was_provisioned_while_it_ran(
    deployment: Deployment, engine: Engine
) -> None:
    deployment.run("migrate")
    deployment.start("credentials")
    deployment.wait_healthy("credentials")
    deployment.start_broker()
    deployment.wait_healthy("mosquitto")
    serving = ["api", *BRIDGES, *WORKERS]
    for name in serving:
        deployment.start(name)
    for name in serving:
        deployment.wait_healthy(name)
    urlopen(
        f"http://127.0.0.1:{deployment.http_port}/readyz", timeout=PATIENCE_S
    ).close()  # or it raises

    made = deployment.operate("device provision --model ear_cymba --csv -")
    device_id, serial, _, secret, code, _ = made.splitlines()[1].split(",")
    with UnitOfWork(engine) as session:
        person = register(session, email="ana@example.org", password="correct horse battery")
        claimed = claim(session, person.id, serial, code, utc_now())
        assert isinstance(claimed, Claimed)
        session.commit()

    device = DeviceClient(deployment, device_id, secret)
    while device.answer != 0:  # until the broker has read of it
        device.answered.wait(1)
    sid = str(uuid4())
    frame = {"v": 1, "store": 7, "seq": 1, "boot": 1, "sid": sid, "kind": "samples", "up": 1000,
             "dt": 1000, "n": 2, "c": {"amplitude_ua": [1500, 1500]}}  # fmt: skip
    while not device.acked.is_set():
        device.client.publish(f"cymba/v1/{device_id}/up/frame", cbor2.dumps(frame), qos=1)
        device.acked.wait(1)
    assert device.heard[0]["topic"] == f"cymba/v1/{device_id}/down/ack"

    # Another device's topics stay shut, although Mosquitto says so to nobody.
    stranger = DeviceClient(deployment, device_id, "not its secret")
    stranger.answered.wait(PATIENCE_S)
    assert stranger.answer != 0
    stranger.stop()
    device.client.publish("cymba/v1/another-device/up/frame", cbor2.dumps(frame), qos=1)
    device.client.publish("cymba/v1/another-device/down/ack", b"{}", qos=1)
    marker = frame | {"seq": 2, "up": 3000}
    device.acked.clear()
    while not device.acked.is_set():
        device.client.publish(f"cymba/v1/{device_id}/up/frame", cbor2.dumps(marker), qos=1)
        device.acked.wait(1)
    assert {heard["topic"] for heard in device.heard} == {f"cymba/v1/{device_id}/down/ack"}
    if MOSQUITTO:  # a secret that ends also ends the connection that was made with it
        deployment.operate(f"device revoke {device_id}")
        assert device.lost.wait(PATIENCE_S)
    device.stop()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT device_id, seq FROM frame ORDER BY seq")).all()
        assert [tuple(row) for row in rows] == [(device_id, 1), (device_id, 2)]
        while connection.execute(text("SELECT count(*) FROM stimulation_session")).scalar() != 1:
            connection.rollback()
            time.sleep(0.1)

    statuses = deployment.stop()
    assert {name: statuses[name] for name in serving} == dict.fromkeys(serving, 0)
    assert not ports.is_taken("127.0.0.1", deployment.mqtt_port)
