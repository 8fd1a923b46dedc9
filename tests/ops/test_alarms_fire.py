"""Each part of a running system is killed, and Prometheus raises the alarm that is about it.

The rules are the shipped ones; only their patience is a second instead of minutes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from ops.postgres import EmbeddedPostgres
from tests.end_to_end.parts import ROOT, Broker, BrokerProcess, MosquittoBroker, wait_until
from tests.free_ports import free_port
from tests.kept_database import new_database
from tests.programs import MOSQUITTO, PROMETHEUS, needs

FOLDER = ROOT / "deploy" / "observability"
PARTS = {
    "api": ["api"],
    "bridge": ["bridge"],
    "seal": ["seal", "--every", "0.1"],
    "insights": ["insights", "--every", "0.1"],
    "imports": ["imports", "--every", "0.1"],
    "mail": ["mail", "--every", "0.1"],
    "credentials": ["device", "passwords", "--follow"],
    "watch": ["watch", "--every", "0.1"],
}

# What waits then for the part that is gone, since an hour ago.
LEFT_UNDONE = {
    "seal": "INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot,"
    " high_boot, last_received_at, dirty)"
    " VALUES ('stimulator-1', gen_random_uuid(), 7, 1, 2, 1, 1, now() - interval '1 hour', true)",
    "bridge": "INSERT INTO device_programme (device_id, ver, programme, limits, signature,"
    " created_at) VALUES ('stimulator-1', 1, '{}', '{}', '', now() - interval '1 hour')",
    "insights": "WITH a AS (SELECT id FROM account), b AS (UPDATE account SET change_counter = 1),"
    " c AS (INSERT INTO consent (id, account_id, purpose, text_version, text_sha256, given_at)"
    "       SELECT gen_random_uuid(), id, 'insights', 1, '', now() FROM a)"
    " INSERT INTO change AS made (account_id, kind, entity_id, number, deleted, changed_at)"
    " SELECT id, 'session', '1', 1, false, now() - interval '2 hours' FROM a",
    "imports": "INSERT INTO data_import (id, account_id, bytes, time_zone, state, attempts,"
    " created_at, changed_at) SELECT gen_random_uuid(), id, 1, 'UTC', 'waiting', 0, now(),"
    " now() - interval '1 hour' FROM account",
    "mail": "INSERT INTO outgoing_mail (id, recipient, subject, body, tries, next_try_at) VALUES"
    " (gen_random_uuid(), 'a@example.org', '', '', 0, now() - interval '1 hour')",
}
# In the order in which they go; the watch tells of the others, and so goes last.
ALARMS = {
    "seal": {"CymbaSessionWorkerDown", "CymbaSummariesWait"},
    "insights": {"CymbaInsightsDown", "CymbaFindingsWait"},
    "imports": {"CymbaImportsDown", "CymbaImportsWait"},
    "mail": {"CymbaMailDown", "CymbaMailsWait"},
    "credentials": {"CymbaCredentialsDown"},
    "broker": {"CymbaBridgeOffTheBroker"},
    "bridge": {"CymbaBridgeDown", "CymbaProgrammesWait"},
    "api": {"CymbaApiDown"},
    "database": {"CymbaDatabaseSilent"},
    "watch": {"CymbaWatchDown"},
}


class Installation:
    """The parts of a running system, on ports of their own, and a Prometheus that asks them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in (*PARTS, "http", "prometheus")}
        of_mosquitto = MosquittoBroker(folder / "broker", {}) if MOSQUITTO else None
        self.broker: Broker = of_mosquitto or BrokerProcess(url)

    def start(self) -> None:
        self.broker.start()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CYMBA_")}
        environ = clean | {
            "CYMBA_DATABASE_URL": self.url,
            "CYMBA_DATA_DIR": str(self.folder),
            "CYMBA_BROKER_URL": self.broker.bridge_url,
            "CYMBA_LOG_LEVEL": "error",
            "OMP_NUM_THREADS": "1",
        }
        more = {
            "api": ["--port", str(self.ports["http"])],
            "credentials": ["--out", str(self.folder / "passwords")],
        }
        for name, words in PARTS.items():
            command = [sys.executable, "-m", "ops", *words, *more.get(name, [])]
            port = str(self.ports[name])
            by_setting = {"CYMBA_METRICS_PORT": port} if name == "bridge" else {}
            command += [] if by_setting else ["--metrics-port", port]
            self._run(name, command, environ | by_setting)
        assert PROMETHEUS is not None, "prometheus is not installed"
        config = self._configured()
        self._run(
            "prometheus",
            [PROMETHEUS, f"--config.file={config}", "--log.level=warn",
             f"--storage.tsdb.path={self.folder / 'series'}",
             f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}"],
            clean,
        )  # fmt: skip

    def _run(self, name: str, command: list[str], environ: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=environ,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    def _configured(self) -> Path:
        """The shipped configuration and rules, with these ports and less patience."""
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), "300ms")
        for job in config["scrape_configs"]:
            name = job["job_name"].removeprefix("cymba-")
            job["static_configs"] = [{"targets": [f"127.0.0.1:{self.ports[name]}"]}]
        rules = yaml.safe_load((FOLDER / "rules.yml").read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule["for"] = "1s"
        (self.folder / "rules.yml").write_text(yaml.safe_dump(rules))
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        return path

    def kill(self, name: str) -> None:
        if name == "broker":
            self.broker.kill()
        elif name == "database":
            self.close_database()
        elif name == "seal":  # it hangs; the others are gone
            self.processes[name].send_signal(signal.SIGSTOP)
        else:
            self._end(self.processes[name])

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """With its own processes: those of the API outlive the one that started them."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close_database(self) -> None:
        base, _, name = self.url.rpartition("/")
        name, _, query = name.partition("?")
        with psycopg.connect(f"{base}/postgres?{query}", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}"
        try:
            return httpx.get(url, params=query).json()["data"]
        except (httpx.HTTPError, KeyError, ValueError):
            return {}

    def alarms(self) -> set[str]:
        """That fire; those that are about to are none yet."""
        found = self.ask("alerts").get("alerts", [])
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    def value(self, query: str) -> str | None:
        result = self.ask("query", query=query).get("result", [])
        return result[0]["value"][1] if result else None

    def stop(self) -> None:
        for process in self.processes.values():
            self._end(process)
        self.broker.stop()


@pytest.fixture
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with new_database(postgres_server.url) as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO device (id, serial, model) VALUES ('stimulator-1', 'E1', 'ear_cymba');"
                " INSERT INTO account (id, email, name, time_zone, locale, role, version)"
                " VALUES (gen_random_uuid(), 'a@example.org', '', 'UTC', 'en', 'person', 1)"
            )
        yield url


@pytest.fixture
def installation(tmp_path: Path, url: str) -> Iterator[Installation]:
    running = Installation(tmp_path, url)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def raised(here: Installation, expected: set[str]) -> bool:
    return expected <= here.alarms()


@pytest.mark.slow
@needs("prometheus")
def test_each_part_that_goes_raises_its_alarms_and_no_part_is_blamed_that_runs(
    installation: Installation, url: str
) -> None:
    here = installation
    wait_until(
        lambda: (
            here.value('sum(up{job=~"cymba-.*"})') == str(len(PARTS))
            and here.value("cymba_bridge_settled") == "1"
        ),
        what=lambda: f"all run: {here.ask('query', query='up')}",
    )
    wait_until(lambda: here.alarms() == set(), what=lambda: f"no alarm: {here.alarms()}")
    down: set[str] = set()
    for part, expected in ALARMS.items():
        here.kill(part)
        if part in LEFT_UNDONE:
            with psycopg.connect(url) as connection:
                connection.execute(LEFT_UNDONE[part])
        wait_until(
            partial(raised, here, expected),
            what=lambda: f"{part} is gone, and there is only {here.alarms()}",  # noqa: B023 - now
        )
        down |= {name for name in expected if name.endswith("Down")}
        assert {name for name in here.alarms() if name.endswith("Down")} == down
