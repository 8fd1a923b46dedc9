"""One hostile account with 60 connections, and ten honest people: how long do the honest wait?

Each attack is tried by itself, as fast as its connections go, against the shipped server and its
default pool, without the proxy, which would refuse most of the attack. Each honest person reads
their account, one request after another.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from cymba.database import make_engine
from ops import ports, postgres, schema

HOSTILE = 60
HONEST = 10
PASSWORD = "correct horse battery"


@dataclass
class Waits:
    """The answers, and how long they took."""

    waits_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **more: Any) -> None:
        began_s = time.perf_counter()
        answer = await client.request(method, path, **more)
        self.waits_s.append(time.perf_counter() - began_s)
        self.statuses[answer.status_code] += 1


async def sign_up(client: httpx.AsyncClient, address: str) -> tuple[str, dict[str, str]]:
    email = f"{uuid4().hex}@example.org"
    credentials = {"email": email, "password": PASSWORD}
    own = {"X-Forwarded-For": address}
    (await client.post("/v1/accounts", json=credentials, headers=own)).raise_for_status()
    pair = (await client.post("/v1/auth/token", json=credentials, headers=own)).raise_for_status()
    return email, {"Authorization": f"Bearer {pair.json()['access_token']}"} | own


def operations() -> dict[str, Any]:
    return {
        "operations": [
            {
                "id": str(uuid4()),
                "kind": "diary-entry",
                "action": "put",
                "entity_id": str(uuid4()),
                "base_version": 0,
                "builds_on": [],
                "fields": {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "note": "x"},
            }
            for _ in range(200)
        ]
    }


async def measure(url: str, seconds: float) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        email, hostile = await sign_up(client, "203.0.113.1")
        people = [(await sign_up(client, f"198.51.100.{n}"))[1] for n in range(HONEST)]
        tag = (await client.get("/v1/account", headers=hostile)).headers["ETag"]
        right = {"email": email, "password": PASSWORD}
        wrong = {"current_password": "not the right one", "new_password": "another password"}
        # Made once, because clients and server share the machine.
        queue = json.dumps(operations()).encode()
        as_json = {"headers": hostile | {"Content-Type": "application/json"}}
        ways: dict[str, Any] = {
            "nobody hostile": None,
            "reads": lambda: ("GET", "/v1/account", {}),
            "right sign-ins": lambda: ("POST", "/v1/auth/token", {"json": right}),
            "wrong current passwords": lambda: (
                "PATCH", "/v1/account", {"json": wrong, "headers": hostile | {"If-Match": tag}},
            ),
            "pushes of 200": lambda: ("POST", "/v1/sync", {"content": queue, **as_json}),
        }  # fmt: skip
        print("| way | honest: median, ms | worst, ms | requests | hostile: answers |")
        print("|---|---:|---:|---:|---|")
        for name, way in ways.items():
            honest, attack = Waits(), Waits()
            end_s = time.perf_counter() + seconds

            async def live(
                headers: dict[str, str], seen: Waits = honest, end_s: float = end_s
            ) -> None:
                while time.perf_counter() < end_s:
                    await seen.ask(client, "GET", "/v1/account", headers=headers)
                    await asyncio.sleep(0.1)

            async def storm(way: Any = way, seen: Waits = attack, end_s: float = end_s) -> None:
                while time.perf_counter() < end_s:
                    method, path, more = way()
                    await seen.ask(client, method, path, **{"headers": hostile} | more)

            storms = [storm() for _ in range(HOSTILE)] if way else []
            await asyncio.gather(*storms, *(live(person) for person in people))
            waits_ms = sorted(1000 * one for one in honest.waits_s)
            answers = ", ".join(f"{n} × {code}" for code, n in sorted(attack.statuses.items()))
            print(
                f"| {name} | {statistics.median(waits_ms):.0f} | {waits_ms[-1]:.0f} "
                f"| {len(waits_ms)} | {answers} |",
                flush=True,
            )
            assert set(honest.statuses) == {200}, honest.statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each way")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        engine = make_engine(server.url)
        schema.upgrade(engine)
        engine.dispose()
        port = ports.free_port()
        api = subprocess.Popen(
            [sys.executable, "-m", "ops", "api", "--port", str(port)],
            env=os.environ
            | {
                "CYMBA_DATABASE_URL": server.url,
                "CYMBA_DATA_DIR": folder,
                "CYMBA_SECRET_KEY": secrets.token_hex(32),
                "CYMBA_TRUSTED_PROXIES": "1",
                "CYMBA_LOG_LEVEL": "error",
            },
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not ports.is_taken("127.0.0.1", port):
                time.sleep(0.1)
            asyncio.run(measure(url, chosen.seconds))
        finally:
            api.terminate()
            api.wait()
            server.stop()


if __name__ == "__main__":
    main()
