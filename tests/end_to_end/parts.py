"""The real parts of a running system, each to be killed and started again: for tests only."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from sqlalchemy import text

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.models import MODELS
from cymba.devices.provisioning import Credentials, hash_secret, provision
from cymba.devices.tables import DeviceTenure
from cymba.processes import runs
from cymba.tables import metadata
from ops import broker, postgres
from tests.free_ports import free_port
from tests.programs import MOSQUITTO

ROOT = Path(__file__).parents[2]
BRIDGE_SECRET = "a secret of the tests"


# How long a test waits for anything before it gives up. It says nothing of how fast something has
# to be: on a machine that others keep busy, what takes 0.1 s may take a minute.
PATIENCE_S = 180.0


def _pause() -> None:
    time.sleep(0.02)


def wait_until(
    condition: Callable[[], bool],
    *,
    what: Callable[[], str] | str,
    pause: Callable[[], object] = _pause,
) -> None:
    """Wait for `condition`; `what` says what was awaited, in the error."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(
                f"not within {PATIENCE_S} s: {what if isinstance(what, str) else what()}"
            )
        pause()


def people_with_devices(
    session: UnitOfWork, count: int, model: str | None = None
) -> list[Credentials]:
    """Devices, each held by a person of its own: an account has a rate to keep to."""
    made = list(provision(session, model or next(iter(MODELS)), count))
    accounts = [Account(email=f"{one.device_id}@example.org") for one in made]
    session.add_all(accounts)
    session.flush()
    session.add_all(
        DeviceTenure(device_id=one.device_id, account_id=account.id, claimed_at=utc_now())
        for one, account in zip(made, accounts, strict=True)
    )
    return made


class DatabaseServer:
    """A PostgreSQL with durability on, as it is shipped, and the whole schema in it."""

    def __init__(self, folder: Path) -> None:
        self._server = postgres.start(folder)
        self.url = self._server.url
        engine = make_engine(self.url)
        metadata.create_all(engine)
        with engine.connect() as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.scalar(text(f"SHOW {setting}")) == "on"
        engine.dispose()

    def provision(self, count: int, model: str | None = None) -> list[Credentials]:
        engine = make_engine(self.url)
        with UnitOfWork(engine) as session, session.begin():
            made = people_with_devices(session, count, model)
        engine.dispose()
        return made

    @property
    def pid(self) -> int:
        return self._server.pid

    def kill(self) -> None:
        """The postmaster alone, as the kernel's out-of-memory killer does; its children follow."""
        pid = self._server.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not runs(pid), what="the postmaster is gone")

    def start(self) -> None:
        # The children may hold the shared memory for a moment yet.
        end = time.monotonic() + 30
        while True:
            try:
                self._server.restart_after_crash()
            except (subprocess.SubprocessError, RuntimeError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        self._server.stop()


class Broker(Protocol):
    """A broker on a port of its own that survives `kill` and `start` in its port and users."""

    port: int

    @property
    def bridge_url(self) -> str: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class MosquittoBroker:
    """A Mosquitto with the shipped configuration, its paths moved under `folder`."""

    def __init__(
        self, folder: Path, users: Mapping[str, str], *, slots: int = 1, window: int = 4_000
    ) -> None:
        assert MOSQUITTO is not None, "mosquitto is not installed"
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        run, data = folder / "run", folder / "data"
        for sub in (run, data):
            sub.mkdir(parents=True, exist_ok=True)
        shipped = ROOT / "deploy" / "mosquitto"
        config = (shipped / "mosquitto.conf").read_text()
        config = config.replace("listener 1883", f"listener {self.port} 127.0.0.1")
        config = config.replace("/mosquitto/run/", f"{run}/").replace(
            "/mosquitto/data/", f"{data}/"
        )
        assert "max_inflight_messages 4000" in config
        config = config.replace("max_inflight_messages 4000", f"max_inflight_messages {window}")
        assert "/mosquitto/" not in config.replace(str(folder), "")
        # Started by root it would become a user that may not read this folder.
        config += f"\nuser {getpass.getuser()}\n"
        (folder / "mosquitto.conf").write_text(config)
        bridges = {f"bridge-{slot}": BRIDGE_SECRET for slot in range(slots)}
        everybody = {**users, **bridges}
        (run / "passwords").write_text(
            "".join(f"{user}:{hash_secret(secret)}\n" for user, secret in everybody.items())
        )
        (run / "passwords").chmod(0o600)
        rights = "".join(
            f"\nuser {user}\ntopic read cymba/v1/+/up/#\ntopic write cymba/v1/+/down/#\n"
            f"topic write cymba/v1/+/up/presence\ntopic readwrite cymba/bridge/{user}/#\n"
            for user in bridges
        )
        (run / "acl").write_text((shipped / "acl").read_text() + rights)

    @property
    def bridge_url(self) -> str:
        return f"mqtt://bridge:{BRIDGE_SECRET.replace(' ', '%20')}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        assert MOSQUITTO is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", self._folder / "mosquitto.conf"], stdout=log, stderr=log
            )
        wait_until(
            lambda: listens(self.port),
            what=(self._folder / "mosquitto.log").read_text,
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)


class BrokerProcess:
    """`ops.broker`, which asks the database who may come in."""

    def __init__(self, database_url: str) -> None:
        self.port = free_port()
        self._database_url = database_url
        self._running: broker.EmbeddedBroker | None = None

    @property
    def bridge_url(self) -> str:
        return f"mqtt://bridge:{BRIDGE_SECRET.replace(' ', '%20')}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.process.pid

    def start(self) -> None:
        self._running = broker.start(self._database_url, port=self.port, secret=BRIDGE_SECRET)

    def kill(self) -> None:
        assert self._running is not None
        self._running.process.kill()
        self._running.stop()

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()


class BridgeProcess:
    """`cymba bridge`, or another program with the same arguments."""

    def __init__(
        self,
        log: Path,
        environment: Mapping[str, str],
        *,
        slot: int = 0,
        program: tuple[str, ...] = ("-m", "ops"),
    ) -> None:
        self._log = log
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CYMBA_")
        } | dict(environment)
        self._arguments = [sys.executable, *program, "bridge", "--slot", str(slot)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, env=self._environment, stdout=log, stderr=log, cwd=ROOT
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask it to stop, as an operator does; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.terminate()


def listens(port: int) -> bool:
    """Whether something speaks MQTT there."""
    # By paho a test that has 1,000 devices would never hear it: paho waits by `select`, which takes
    # no descriptor above 1,023.
    connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as line:
            line.sendall(connect)
            return line.recv(1) == b"\x20"
    except OSError:
        return False
