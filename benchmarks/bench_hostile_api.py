"""One hostile account with 60 connections, and ten honest people: how long do the honest wait?

Each attack is tried by itself, as fast as its connections go, against the shipped server and its
default pool, behind the shipped nginx. Each honest person reads their account, one request after
another; one request in ten writes a diary entry. The attacker is a process of the lowest priority,
because a real one has a machine of its own.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from cymba.accounts.keys import derive
from cymba.accounts.sign_up import SIGN_UP_CODES, make_code
from cymba.database import make_engine, utc_now
from ops import postgres, schema
from tests.service.http.served.parts import TRUSTED_PROXIES, ApiProcess, Proxied

HOSTILE = 60
HONEST = 10
PASSWORD = "correct horse battery"
SECRET = secrets.token_hex(32)
HOSTILE_ADDRESS = "127.0.0.2"
PAUSE_S = 0.1  # of an honest person between two requests
ENTRY = {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "note": "x"}


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    content: bytes = b""


@dataclass
class Waits:
    """The answers, and how long they took."""

    waits_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, client: httpx.AsyncClient, one: Request) -> None:
        began_s = time.perf_counter()
        try:
            answer = await client.request(
                one.method, one.path, headers=one.headers, content=one.content
            )
        except httpx.TransportError:
            self.statuses[0] += 1  # the connection was closed
            return
        self.waits_s.append(time.perf_counter() - began_s)
        self.statuses[answer.status_code] += 1


def client_at(url: str, address: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits)
    return httpx.AsyncClient(base_url=url, timeout=120, transport=transport)


def as_json(method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Request:
    own = {"Content-Type": "application/json"} | (headers or {})
    return Request(method, path, own, json.dumps(body).encode())


async def sign_up(url: str, address: str) -> tuple[str, dict[str, str]]:
    email = f"{uuid4().hex}@example.org"
    credentials = {"email": email, "password": PASSWORD}
    async with client_at(url, address) as client:
        code = make_code(derive(SECRET.encode(), SIGN_UP_CODES), email, utc_now())
        (await client.post("/v1/accounts", json=credentials | {"code": code})).raise_for_status()
        pair = (await client.post("/v1/auth/token", json=credentials)).raise_for_status()
    return email, {"Authorization": f"Bearer {pair.json()['access_token']}"}


def operation(note: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "kind": "diary-entry",
        "action": "put",
        "entity_id": str(uuid4()),
        "base_version": 0,
        "builds_on": [],
        "fields": ENTRY | {"note": note},
    }


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def ways(email: str, own: dict[str, str]) -> dict[str, list[Request]]:
    """The attacks, each by the requests that are repeated. They are made once, because clients and
    server share the machine."""
    right = {"email": email, "password": PASSWORD}
    wrong = {"email": email, "password": "not the right one"}
    current = {"current_password": "not the right one", "new_password": "staple battery horse"}
    claim = {"serial": "EY00000000", "code": "11111-11111"}
    others = [{"email": f"{uuid4().hex}@example.org", "password": PASSWORD} for _ in range(200)]
    many = [[operation("x") for _ in range(200)] for _ in range(10)]

    def push(operations: list[dict[str, Any]]) -> Request:
        return as_json("POST", "/v1/sync", {"operations": operations}, own)

    return {
        "reads": [Request("GET", "/v1/account", own)],
        "right sign-ins": [as_json("POST", "/v1/auth/token", right)],
        "wrong sign-ins": [as_json("POST", "/v1/auth/token", wrong)],
        "sign-ups": [as_json("POST", "/v1/accounts", one) for one in others],
        "wrong current passwords": [
            as_json("PATCH", "/v1/account", current, own | {"If-Match": "*"})
        ],
        "pushes of 200": [push(operations) for operations in many],
        "pushes nested deeply": [push([operation(nested(400))])],
        "the audit log": [Request("GET", "/v1/audit", own)],
        "exports": [Request("GET", "/v1/account/export", own)],
        "wrong claims": [as_json("POST", "/v1/devices/claim", claim, own)],
    }


def storm(url: str, requests: list[Request], seconds: float, ready: Any, told: Any) -> None:
    """The hostile one, in a process of its own."""
    os.nice(19)
    waits = Waits()
    ready.set()
    end_s = time.perf_counter() + seconds

    async def connection(client: httpx.AsyncClient, again: Iterator[Request]) -> None:
        while time.perf_counter() < end_s:
            await waits.ask(client, next(again))

    async def connections() -> None:
        again = cycle(requests)
        async with client_at(url, HOSTILE_ADDRESS) as client:
            await asyncio.gather(*(connection(client, again) for _ in range(HOSTILE)))

    asyncio.run(connections())
    told.put(waits.statuses)


async def live(
    url: str, address: str, headers: dict[str, str], waits: Waits, seconds: float
) -> None:
    """An honest person."""
    end_s = time.perf_counter() + seconds
    read = Request("GET", "/v1/account", headers)
    asked = 0
    async with client_at(url, address) as client:
        while time.perf_counter() < end_s:
            asked += 1
            write = as_json("PUT", f"/v1/diary/{uuid4()}", ENTRY, headers)
            await waits.ask(client, read if asked % 10 else write)
            await asyncio.sleep(PAUSE_S)


async def measure(url: str, seconds: float) -> None:
    email, hostile = await sign_up(url, HOSTILE_ADDRESS)
    people = []
    for n in range(1, HONEST + 1):
        address = f"127.0.1.{n}"
        people.append((address, (await sign_up(url, address))[1]))

    async def honest() -> tuple[float, float]:
        """Their median and their worst wait, in ms."""
        waits = Waits()
        await asyncio.gather(*(live(url, *person, waits, seconds) for person in people))
        assert set(waits.statuses) <= {200, 201}, waits.statuses
        waits_ms = sorted(1000 * one for one in waits.waits_s)
        return statistics.median(waits_ms), waits_ms[-1]

    print(
        "| the hostile account's | alone: median, ms | worst | beside: median, ms | worst | ratio |"
    )
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for name, requests in ways(email, hostile).items():
        quiet_ms, quiet_worst_ms = await honest()  # each time: the machine may have other work
        told: Any = multiprocessing.Queue()
        ready = multiprocessing.Event()
        attack = multiprocessing.Process(target=storm, args=(url, requests, seconds, ready, told))
        attack.start()
        await asyncio.to_thread(ready.wait)
        median_ms, worst_ms = await honest()
        answers: Counter[int] = await asyncio.to_thread(told.get)
        figures = (quiet_ms, quiet_worst_ms, median_ms, worst_ms)
        shown = " | ".join(f"{figure:.0f}" for figure in figures)
        said = ", ".join(f"{n} × {code}" for code, n in sorted(answers.items()))
        print(f"| {name} ({said}) | {shown} | {median_ms / quiet_ms:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each way")
    parser.add_argument("--no-proxy", action="store_true", help="ask the API itself")
    chosen = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = postgres.start(folder / "postgres")
        engine = make_engine(server.url)
        schema.upgrade(engine)
        engine.dispose()
        environ = {
            "CYMBA_DATABASE_URL": server.url,
            "CYMBA_DATA_DIR": name,
            "CYMBA_SECRET_KEY": SECRET,
            "CYMBA_TRUSTED_PROXIES": "0" if chosen.no_proxy else TRUSTED_PROXIES,
            "CYMBA_LOG_LEVEL": "error",
        }
        api = ApiProcess(folder / "api.log", environ)
        proxy = Proxied(folder, api)
        try:
            api.start()
            if not chosen.no_proxy:
                proxy.start()
            asyncio.run(measure(api.url if chosen.no_proxy else proxy.url, chosen.seconds))
        finally:
            proxy.stop()
            api.stop()
            server.stop()


if __name__ == "__main__":
    main()
