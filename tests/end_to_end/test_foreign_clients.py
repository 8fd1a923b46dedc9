"""Foreign clients publish a session by the protocol's page alone, and it arrives."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine, func, select

from cymba.accounts.profile import register
from cymba.database import UnitOfWork, utc_now
from cymba.devices.claiming import Claimed, claim
from cymba.devices.provisioning import Credentials
from cymba.settings import Settings
from cymba.stimulation.tables import QuarantinedFrame, StoredFrame
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES
from service import create_app
from tests.end_to_end.parts import PATIENCE_S, ROOT, BridgeProcess, wait_until
from tests.end_to_end.shipped_mosquitto import ShippedMosquitto, call
from tests.programs import NODE, needs
from workers.session_worker import SessionWorker

PAGE = ROOT / "docs" / "device-protocol.md"
MQTT_JS = Path(__file__).with_name("mqtt_js")
EMAIL, PASSWORD = "ana@example.org", "correct horse battery"
pytestmark = [
    pytest.mark.slow,
    needs("mosquitto"),
]


class Site(NamedTuple):
    broker: ShippedMosquitto
    device_id: str
    secret: str
    engine: Engine

    def mosquitto_pub(self) -> list[str]:
        """The command as the device, but for the frame."""
        return [
            "mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-q", "1",
            "-u", self.device_id, "-P", self.secret, "-i", self.device_id,
            "-t", f"cymba/v1/{self.device_id}/up/frame",
        ]  # fmt: skip

    def frames(self) -> int:
        with UnitOfWork(self.engine) as session:
            return session.scalar(select(func.count()).select_from(StoredFrame)) or 0

    def quarantined(self) -> int:
        with UnitOfWork(self.engine) as session:
            return session.scalar(select(func.count()).select_from(QuarantinedFrame)) or 0

    def sessions(self) -> list[dict[str, object]]:
        """As the person's app sees them."""
        settings = Settings(data_dir=self.broker.tls / "cymba", secret_key="s" * 40)
        SessionWorker(self.engine, settings).run_once()
        app = create_app(settings, self.engine).test_client()
        body = {"email": EMAIL, "password": PASSWORD}
        token = app.post("/v1/auth/token", json=body).get_json()["access_token"]
        page = app.get("/v1/sessions", headers={"Authorization": f"Bearer {token}"})
        items: list[dict[str, object]] = page.get_json()["items"]
        return items


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, engine: Engine) -> Iterator[Site]:
    """A broker, a bridge, and a claimed device; its model may be a parameter."""
    model = getattr(request, "param", "ear_cymba")
    with ExitStack() as parts:  # a bridge that is left behind publishes what later tests set
        broker = ShippedMosquitto(tmp_path / "site", engine)
        parts.callback(broker.stop)
        broker.start()
        bridge = BridgeProcess(
            tmp_path / "bridge.log",
            {
                "CYMBA_DATABASE_URL": broker.settings.database_url or "",
                "CYMBA_BROKER_URL": broker.bridge_url,
            },
        )
        parts.callback(bridge.stop)
        bridge.start()
        row = broker.operate("provision", "--model", model, "--csv", "-").splitlines()[1]
        one = Credentials(*row.split(",")[: len(Credentials._fields)])
        with UnitOfWork(engine) as session:
            person = register(session, email=EMAIL, password=PASSWORD)
            claimed = claim(session, person.id, one.serial, one.claim_code, utc_now())
            assert isinstance(claimed, Claimed)
            session.commit()
        wait_until(
            lambda: call(broker.port, one.device_id, one.secret).entered, what="it may come in"
        )
        wait_until(lambda: "connected" in bridge.log, what=lambda: bridge.log)
        yield Site(broker, one.device_id, one.secret, engine)


def arrives(site: Site) -> None:
    wait_until(lambda: site.frames() == 4, what="the page's four frames are stored")
    assert site.quarantined() == 0
    (told,) = site.sessions()
    assert told["device_id"] == site.device_id
    assert (told["state"], told["end_reason"]) == ("ended", "lead_off")
    assert told["completeness"] == 1


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_the_commands_of_the_page(site: Site, version: str) -> None:
    (command,) = re.findall(r"^```sh\n(sed .*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    at = f"mosquitto_pub -V {version} -p {site.broker.port}"
    assert "mosquitto_pub -h localhost" in command
    for _ in range(2):  # "To publish it again changes nothing."
        subprocess.run(
            ["/bin/sh", "-ec", command.replace("mosquitto_pub", at)],
            env=os.environ | {"id": site.device_id, "secret": site.secret},
            cwd=ROOT, check=True, timeout=PATIENCE_S,
        )  # fmt: skip
    arrives(site)


def test_the_cbor_of_the_page_is_the_frame_that_the_json_is(site: Site) -> None:
    (shown,) = re.findall(r"^```hex frame\n(.*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    publish = site.mosquitto_pub()
    subprocess.run([*publish, "-s"], input=bytes.fromhex(shown), check=True, timeout=PATIENCE_S)
    wait_until(lambda: site.frames() == 1, what="it is stored")
    for frame in re.findall(r"^```json frame\n(.*)\n```$", PAGE.read_text(), re.MULTILINE):
        subprocess.run([*publish, "-m", frame], check=True, timeout=PATIENCE_S)
    arrives(site)


def publish_by_mqtt_js(site: Site, version: str, *form: str) -> int:
    """The page's frames; up to which one Cymba's ack frees them."""
    url = f"mqtt://127.0.0.1:{site.broker.port}"
    told = subprocess.run(
        [NODE, "publish.mjs", PAGE, url, version, site.device_id, site.secret, *form],
        cwd=MQTT_JS, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    upto: int = json.loads(told.stdout)["upto"]
    return upto


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_device_made_of_mqtt_js(site: Site, version: str) -> None:
    assert publish_by_mqtt_js(site, version) == 4
    arrives(site)


BY_LEVEL = re.compile(r"^```json by-level\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
OF_A_CURRENT = (
    "delivered_charge_uc",
    "pulses",
    "mean_amplitude_ua",
    "max_amplitude_ua",
    "mean_amplitude_over_threshold",
    "mean_impedance_ohm",
)


def arrives_by_level(site: Site) -> None:
    wait_until(lambda: site.frames() == 6, what="the six frames by level are stored")
    assert site.quarantined() == 0
    (told,) = site.sessions()
    assert (told["state"], told["completeness"]) == ("ended", 1)
    assert (told["stimulating_s"], told["max_native_level"]) == (240.0, 5)
    assert told["mean_native_level"] == 4.75
    assert [told[name] for name in OF_A_CURRENT] == [None] * len(OF_A_CURRENT)
    programme = {"site": "neck", "side": "both", "native_level": 4, "duration_s": 240}
    shown: dict[str, object] = told["programme"]  # type: ignore[assignment]
    assert {name: value for name, value in shown.items() if value is not None} == programme


@pytest.mark.parametrize("site", ["neck_band"], indirect=True)
def test_a_session_by_level_by_mosquitto_pub(site: Site) -> None:
    """With one frame of the largest size that the page allows, which this broker has to carry."""
    first, *rest = BY_LEVEL.findall(PAGE.read_text())[0].splitlines()
    frames = "\n".join([first[:-1].ljust(MAX_PAYLOAD_BYTES - 1) + "}", *rest])
    subprocess.run(
        [*site.mosquitto_pub(), "-l"],
        input=frames,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    arrives_by_level(site)


@pytest.mark.parametrize("site", ["neck_band"], indirect=True)
def test_a_session_by_level_by_mqtt_js(site: Site) -> None:
    assert publish_by_mqtt_js(site, "4", "by-level") == 6
    arrives_by_level(site)
