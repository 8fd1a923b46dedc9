"""The demo's running parts: where they listen, and how they are started and asked."""

import csv
import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from cymba.settings import Settings, load
from ops import ports
from ops.demo.household import Household, OwnedDevice
from ops.demo.supervisor import Part, Supervisor

HOST = "127.0.0.1"
READY_S = 60.0
DRAIN_S = 60


class StageError(Exception):
    """The demo cannot go on; the message is for people."""


@dataclass
class Stage:
    """`folder` holds the data, the logs, and the lists of frames that the devices made."""

    folder: Path
    database_url: str
    http_port: int
    mqtt_port: int
    supervisor: Supervisor
    metrics_port: int = field(default_factory=ports.free_port)
    broker_secret: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    _devices: dict[str, Part] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings of the parts."""
        return load(self._environ)

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    def start_keeper(self) -> None:
        self._start("seal", "seal")

    def start_insights(self) -> None:
        self._start("insights", "insights")

    def start_imports(self) -> None:
        self._start("imports", "imports")

    def start_mail(self) -> None:
        self._start("mail", "mail")

    def start_servers(self) -> None:
        """Broker, bridge and API; returns when the API says that it is ready."""
        self._start("broker", "broker")
        self._wait(lambda: ports.is_taken(HOST, self.mqtt_port), "the broker")
        self._start("bridge", "bridge", CYMBA_METRICS_PORT=str(self.metrics_port))
        self._start("api", "api")
        self._wait(lambda: _answers(f"http://{HOST}:{self.metrics_port}/healthz"), "the bridge")
        self._wait(lambda: _answers(f"{self.api_url}/readyz"), "the API")

    def start_device(self, device: OwnedDevice, *, speed: float, seed: int) -> None:
        """Start a process of its own for the device."""
        self._made_file(device.device_id).unlink(missing_ok=True)
        credentials = self.folder / "devices" / f"{device.device_id}.csv"
        credentials.parent.mkdir(exist_ok=True)
        with os.fdopen(
            os.open(credentials, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline=""
        ) as file:
            writer = csv.DictWriter(file, list(asdict(device)))
            writer.writeheader()
            writer.writerow(asdict(device))
        self._devices[device.device_id] = self._start(
            f"device-{device.model}",
            "simulate",
            f"--broker=mqtt://{HOST}:{self.mqtt_port}",
            f"--credentials={credentials}",
            f"--made={self._made_file(device.device_id)}",
            f"--speed={speed:g}",
            f"--seed={seed}",
            f"--drain={DRAIN_S}",
        )

    def stop_devices(self) -> list[Path]:
        """Stop the devices once the server has all of their frames. Return the files that list the
        frames they made.

        Raises:
            StageError: a device ended without writing its file.
        """
        for part in self._devices.values():
            part.process.terminate()
        said = []
        for device_id, part in self._devices.items():
            status = part.stop(DRAIN_S + 15)
            self.supervisor.forget(part)
            made = self._made_file(device_id)
            if made.exists():
                said.append(made)
            elif status != -signal.SIGTERM:  # else it had not started yet
                raise StageError(
                    f"{part.name} did not write the list of its frames; see {part.log}"
                )
        self._devices.clear()
        return said

    def duplicates(self) -> int:
        """Duplicates that the bridge has counted since it started."""
        try:
            with urlopen(f"http://{HOST}:{self.metrics_port}/metrics", timeout=2) as response:
                text = response.read().decode()
        except (URLError, TimeoutError, OSError):
            return 0
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "cymba_bridge_frames_duplicate_total":
                    return int(sample.value)
        return 0

    def sign_in(self, household: Household) -> str:
        """An access token of the person, requested as an app would."""
        body = json.dumps({"email": household.email, "password": household.password}).encode()
        headers = {"Content-Type": "application/json"}
        answer = self._fetch(Request(f"{self.api_url}/v1/auth/token", body, headers))  # noqa: S310
        token: str = answer["access_token"]
        return token

    def open_sessions(self, token: str) -> list[str]:
        """The ids of the running sessions, from the API."""
        headers = {"Authorization": f"Bearer {token}"}
        page = self._fetch(Request(f"{self.api_url}/v1/sessions?limit=50", headers=headers))  # noqa: S310
        return [item["id"] for item in page["items"] if item["state"] == "open"]

    @staticmethod
    def _fetch(request: Request) -> dict[str, Any]:
        with urlopen(request, timeout=10) as response:  # noqa: S310 - our own API
            answer: dict[str, Any] = json.load(response)
            return answer

    def _made_file(self, device_id: str) -> Path:
        return self.folder / "devices" / f"{device_id}.made.jsonl"

    def _start(self, name: str, *arguments: str, **environ: str) -> Part:
        return self.supervisor.start_command(name, *arguments, environ=self._environ | environ)

    @property
    def _environ(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if name[:6] != "CYMBA_"}
        return others | {
            "CYMBA_DATABASE_URL": self.database_url,
            "CYMBA_DATA_DIR": str(self.folder),
            "CYMBA_BROKER_URL": f"mqtt://bridge:{self.broker_secret}@{HOST}:{self.mqtt_port}",
            "CYMBA_HTTP_HOST": HOST,
            "CYMBA_HTTP_PORT": str(self.http_port),
        }

    def _wait(self, is_up: Callable[[], bool], what: str) -> None:
        give_up_at = time.monotonic() + READY_S
        while not is_up():
            self.supervisor.check()
            if time.monotonic() > give_up_at:
                raise StageError(
                    f"{what} is not ready after {READY_S:.0f} s; see {self.folder}/logs"
                )
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):  # noqa: S310 - ours, on this machine
            return True
    except (URLError, TimeoutError, OSError):
        return False


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two demos must not share a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"another demo runs in {folder}") from None
        yield
