"""docker-compose.yml as compose reads it, and its services as processes of this machine."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from ops import ports
from tests.end_to_end.parts import PATIENCE_S, ROOT
from tests.programs import MOSQUITTO

SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret",
    "SERVICE_DATABASE_PASSWORD": "service-secret",
    "CYMBA_SECRET_KEY": "s" * 48,
    "BRIDGE_PASSWORD": "bridge-secret",
    "HEALTH_PASSWORD": "health-secret",
}
BRIDGES = ["bridge-0", "bridge-1"] if MOSQUITTO else ["bridge-0"]
WORKERS = ["seal", "insights", "imports", "mail", "watch"]


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


class Deployment:
    """The services as processes of this machine: same commands, same variables, other addresses."""

    def __init__(self, folder: Path, socket_folder: Path) -> None:
        self.folder = folder
        self.socket_folder = socket_folder
        self.mqtt_port = ports.free_port()
        self.http_port = ports.free_port()
        self.metrics_ports = {
            name: ports.free_port() for name in ("api", "credentials", *BRIDGES, *WORKERS)
        }
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
