"""What a real Mosquitto retains of an erased person's device goes, also from its store on disk."""

import os
import signal
from pathlib import Path
from uuid import UUID

import pytest
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.provisioning import Credentials
from cymba.devices.tables import DeviceProgramme, DeviceTenure, RetainedWithdrawal
from cymba.rights.erasure import ErasureKeys, erase
from tests.end_to_end.parts import (
    BridgeProcess,
    BrokerProcess,
    DatabaseServer,
    MosquittoBroker,
    wait_until,
)
from tests.programs import or_another

SIGNATURE = "a signature of what this person's device was to do"
PROGRAMME = {
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 1234,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
}

pytestmark = pytest.mark.slow


def retained(port: int, device: Credentials) -> list[bytes]:
    """The retained messages that a device gets when it subscribes."""
    told: list[bytes] = []
    subscribed: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id=device.device_id, protocol=MQTTv311)
    client.username_pw_set(device.device_id, device.secret)
    client.on_message = lambda _client, _data, message: told.append(bytes(message.payload))
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.connect("127.0.0.1", port)
    client.subscribe(f"cymba/v1/{device.device_id}/down/#", qos=1)
    for _ in range(40):
        client.loop(0.05)
        if subscribed and told:
            break
    client.disconnect()
    client.loop(0.05)
    assert subscribed
    return told


def stored(broker: MosquittoBroker, folder: Path) -> bytes:
    """The broker's store, which it writes at a signal."""
    file = folder / "data" / "mosquitto.db"
    file.unlink(missing_ok=True)
    os.kill(broker.pid, signal.SIGUSR1)
    wait_until(file.exists, what="the broker writes its store")
    return file.read_bytes()


def test_the_broker_forgets(tmp_path: Path) -> None:
    """Without Mosquitto, the embedded broker, which keeps nothing on disk."""
    database = DatabaseServer(tmp_path / "postgres")
    (device,) = database.provision(1)
    folder = tmp_path / "mosquitto"
    broker: MosquittoBroker | BrokerProcess = BrokerProcess(database.url)
    if or_another("mosquitto", "embedded") == "mosquitto":
        broker = MosquittoBroker(folder, {device.device_id: device.secret})
    settings = {
        "CYMBA_DATABASE_URL": database.url,
        "CYMBA_BROKER_URL": broker.bridge_url,
        "CYMBA_DATA_DIR": str(tmp_path / "data"),
    }
    bridge = BridgeProcess(tmp_path / "bridge.log", settings)
    engine = make_engine(database.url)
    try:
        broker.start()
        bridge.start()
        with UnitOfWork(engine) as session, session.begin():
            holder = session.scalars(select(DeviceTenure.account_id)).one()
            assert isinstance(holder, UUID)
            session.add(
                DeviceProgramme(
                    device_id=device.device_id,
                    ver=1,
                    account_id=holder,
                    programme=PROGRAMME,
                    limits={},
                    signature=SIGNATURE,
                    created_at=utc_now(),
                )
            )
        wait_until(
            lambda: any(SIGNATURE.encode() in one for one in retained(broker.port, device)),
            what=lambda: bridge.log,
        )
        if isinstance(broker, MosquittoBroker):
            assert SIGNATURE.encode() in stored(broker, folder)
        with UnitOfWork(engine) as session, session.begin():
            erase(session, ErasureKeys.of(b"a secret of the test"), holder, now=utc_now())

        def is_withdrawn() -> bool:
            with UnitOfWork(engine) as session:
                return session.scalars(select(RetainedWithdrawal)).first() is None

        wait_until(is_withdrawn, what=lambda: bridge.log)
        assert retained(broker.port, device) == []
        if isinstance(broker, MosquittoBroker):
            kept = stored(broker, folder)
            for mark in (SIGNATURE, str(holder), holder.hex, "holder@example.org"):
                assert mark.encode() not in kept
    finally:
        bridge.stop()
        broker.stop()
        engine.dispose()
        database.stop()
