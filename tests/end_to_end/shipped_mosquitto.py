"""Mosquitto as it is shipped: deploy/mosquitto run by its own entrypoint, on other ports and in
other folders."""

import getpass
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

from click.testing import CliRunner
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import Engine

from conformance.listener import hang_up
from cymba.settings import FIRST_CELL, Settings
from ops.commands.device import device
from tests.end_to_end.parts import PATIENCE_S, ROOT, listens, wait_until
from tests.free_ports import free_port
from tests.programs import MOSQUITTO

PASSWORDS = {
    "BRIDGE_PASSWORD": "the bridges' secret",
    "HEALTH_PASSWORD": "the check's secret",
    "CONFORMANCE_PASSWORD": "the listener's secret",
}
PROTOCOLS = {"3.1.1": MQTTv311, "5": MQTTv5}


class ShippedMosquitto:
    """`edit` changes the configuration."""

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        *,
        edit: Callable[[str], str] = lambda text: text,
        cell: str = FIRST_CELL,
    ) -> None:
        assert MOSQUITTO is not None, "mosquitto is not installed"
        self.port, self.tls_port, self.mutual_tls_port = free_port(), free_port(), free_port()
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("run", "data", "tls", "credentials"):
            (folder / name).mkdir(parents=True)
        self.tls, self.credentials = folder / "tls", folder / "credentials"
        shutil.copytree(ROOT / "deploy" / "mosquitto", folder / "config")
        file = folder / "config" / "mosquitto.conf"
        # Started by root it would become a user that may not read these folders.
        file.write_text(f"{edit(file.read_text())}\nuser {getpass.getuser()}\n")
        self.settings = Settings(
            database_url=engine.url.render_as_string(hide_password=False),
            data_dir=folder / "cymba",
            broker_url=self.bridge_url,
            cell=cell,
        )

    @property
    def bridge_url(self) -> str:
        return f"mqtt://bridge:the%20bridges'%20secret@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the entrypoint; with it the broker ends."""
        return self._processes[-1].pid

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text()

    def start(self) -> None:
        self.follow()
        self.start_broker()

    def follow(self) -> None:
        """Keep the devices' files, in a process of its own."""
        command = ["passwords", "--out", "passwords", "--revoked", "revoked"]
        self._run("credentials", [sys.executable, "-m", "ops", "device", *command, "--follow"])
        first = self.credentials / command[2]
        wait_until(first.exists, what="the devices' file is written")

    def start_broker(self) -> None:
        self._run("mosquitto", ["/bin/sh", str(self._folder / "config" / "entrypoint.sh")])
        wait_until(lambda: listens(self.port), what=lambda: self.log)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(PATIENCE_S)

    def kill_broker(self) -> None:
        """What it retains is on its disk by then."""
        entrypoint = self._processes[-1]
        (broker,) = _children_named("mosquitto", entrypoint.pid)
        os.kill(broker, signal.SIGUSR1)
        saved = self._folder / "data" / "mosquitto.db"
        wait_until(saved.exists, what="it has saved what it retains")
        os.kill(broker, signal.SIGKILL)
        entrypoint.wait(PATIENCE_S)
        self._processes.remove(entrypoint)

    def hang_up(self) -> None:
        """Have it read its certificates again: `docker compose kill --signal HUP mosquitto`."""
        self._processes[-1].send_signal(signal.SIGHUP)

    def operate(self, *arguments: str, exit_code: int = 0) -> str:
        """`cymba device …`, and what it says."""
        told = CliRunner().invoke(device, arguments, obj=self.settings, env=PASSWORDS)
        assert told.exit_code == exit_code, told.output
        return told.stdout

    def provision(self) -> tuple[str, str]:
        """A new device's id and secret."""
        row = self.operate("provision", "--model", "ear_cymba", "--csv", "-").splitlines()[1]
        device_id, _, _, secret, *_ = row.split(",")
        return device_id, secret

    def _run(self, name: str, command: list[str]) -> None:
        clean = {key: value for key, value in os.environ.items() if key[:6] != "CYMBA_"}
        environ = clean | PASSWORDS | {
            "BRIDGE_SLOTS": "2",
            "MQTT_LISTEN": f"{self.port} 127.0.0.1",
            "MQTTS_LISTEN": f"{self.tls_port} 127.0.0.1",
            "MQTT_MUTUAL_TLS_LISTEN": f"{self.mutual_tls_port} 127.0.0.1",
            "PATH": f"{clean['PATH']}:/usr/sbin:/usr/local/sbin",
            "PYTHONPATH": str(ROOT),
            "CYMBA_DATABASE_URL": self.settings.database_url or "",
            "CYMBA_CELL": self.settings.cell,
            "CYMBA_LOG_LEVEL": "error",
        }  # fmt: skip
        for folder in ("config", "run", "data", "tls", "credentials"):
            environ[f"MOSQUITTO_{folder.upper()}"] = str(self._folder / folder)
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    env=environ,
                    stdout=log,
                    stderr=log,
                    cwd=self.credentials,
                    # A shell cannot trap what was ignored when it began, as under nohup.
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
                )
            )


def _children_named(name: str, pid: int) -> list[int]:
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [one for one in children if Path(f"/proc/{one}/comm").read_text().strip() == name]


@dataclass
class MqttCaller:
    """A client that a test controls, and that keeps its answers and messages."""

    client: Client
    reasons: list[str] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)

    @property
    def entered(self) -> bool:
        return self.reasons[:1] == ["Success"]

    def subscribe(self, topic: str) -> bool:
        """Whether the broker says that it grants this."""
        granted: list[bool] = []
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: granted.append(
            not reasons[0].is_failure
        )
        self.client.subscribe(topic, 1)
        wait_until(lambda: bool(granted), what="the subscription is answered")
        return granted[0]

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Until the broker has it, or has cut the line."""
        said = self.client.publish(topic, payload, 1, retain)
        wait_until(
            lambda: said.is_published() or self.lost.is_set(),
            what="it is taken",
            pause=lambda: said.wait_for_publish(0.02),
        )

    def leave(self) -> None:
        hang_up(self.client)

    def break_off(self) -> None:
        """Without a goodbye, so that the broker speaks the last will."""
        line = self.client.socket()
        assert line is not None
        line.shutdown(2)  # type: ignore[attr-defined]


def call(
    port: int,
    user: str | None,
    secret: str | None = None,
    *,
    protocol: MQTTProtocolVersion = MQTTv311,
    client_id: str | None = None,
    will: str | None = None,
    persistent: bool = False,
    tls: SSLContext | None = None,
    host: str = "127.0.0.1",
) -> MqttCaller:
    """Connect, and wait until the broker has said something to it."""
    options: dict[str, Any] = {} if protocol == MQTTv5 else {"clean_session": not persistent}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id or user or "nobody-0001",
        protocol=protocol,
        reconnect_on_failure=False,
        **options,
    )
    if user is not None:
        client.username_pw_set(user, secret)
    if will is not None:
        client.will_set(will, b"will", 1)
    if tls is not None:
        client.tls_set_context(tls)
    caller = MqttCaller(client)
    client.on_connect = lambda _c, _u, _f, reason, _p: caller.reasons.append(str(reason))
    client.on_disconnect = lambda *_: caller.lost.set()
    client.on_message = lambda _c, _u, message: caller.heard.append(
        (message.topic, bytes(message.payload))
    )
    client.connect(host, port)
    client.loop_start()
    wait_until(lambda: bool(caller.reasons) or caller.lost.is_set(), what="answered")
    return caller
