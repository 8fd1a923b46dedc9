"""The services of docker-compose.yml run here without containers, by their own commands: PostgreSQL
embedded, and a real Mosquitto with the shipped entrypoint, configuration and access list.

A machine without Mosquitto runs the embedded broker and one bridge instead; CI must have it.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import cbor2
import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from cymba.accounts.profile import register
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.claiming import Claimed, claim
from ops import ports, postgres
from tests.end_to_end.parts import PATIENCE_S
from tests.ops.deployment import BRIDGES, SECRETS, WORKERS, Deployment
from tests.programs import IN_CI, MOSQUITTO


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
    """A device without a holder: paho, its own name, and the messages it gets."""

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

    # Another device's topics stay closed, although Mosquitto reports it to nobody.
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
