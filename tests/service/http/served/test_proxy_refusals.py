"""What nginx keeps from the API, and from whom, in the words of the API.

A machine without nginx tries everything else; CI must have it.
"""

import json
import socket
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import cast
from uuid import uuid4

import httpx
import pytest

from service.resources import frames
from service.shapes import feed
from tests.end_to_end.parts import PATIENCE_S
from tests.free_ports import free_port
from tests.programs import needs
from tests.service.http.served.parts import ApiProcess, Dribbler, Proxied, guess

pytestmark = [pytest.mark.slow, needs("nginx")]
SLOW_CLIENTS = 200


def test_clients_that_dribble_their_bodies_hold_up_nobody(proxy):
    done = Event()
    with ExitStack() as stack:
        slow = [Dribbler(proxy.port, f"127.0.0.{2 + number % 5}") for number in range(SLOW_CLIENTS)]
        for one in slow:
            stack.callback(one.socket.close)

        def dribble() -> None:
            while not done.wait(1):
                for one in slow:
                    one.dribble()

        for one in slow:
            one.dribble()
        thread = Thread(target=dribble)
        thread.start()
        try:
            with proxy.client() as client:
                for _ in range(20):
                    assert client.get("/healthz").status_code == 200
                    assert guess(client, f"{uuid4().hex}@example.org") == 401
        finally:
            done.set()
            thread.join()
        assert all(one.is_waiting() for one in slow)
        assert slow[0].end() == 422  # what is slow and honest is answered in the end


def test_one_address_has_so_many_connections_and_no_more(proxy):
    with ExitStack() as stack:
        for _ in range(100):
            stack.callback(Dribbler(proxy.port, "127.0.0.2").socket.close)
        with proxy.client("127.0.0.2") as client:
            while (refused := client.get("/v1/account")).status_code == 401:
                time.sleep(0.05)  # until nginx has read all those headers
        with proxy.client("127.0.0.3") as other:
            assert other.get("/v1/account").status_code == 401
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:cymba:problem:rate"


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics?x=1", "//metrics", "/%6detrics", "/v1/../metrics"]
)
def test_the_apis_metrics_are_for_those_inside(proxy, path):
    def asked(port: int) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", port)) as raw:  # a client would tidy the path
            raw.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            head, _, body = b"".join(iter(lambda: raw.recv(65_536), b"")).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    status, body = asked(proxy.port)
    assert status == 404
    assert json.loads(body)["type"] == "urn:cymba:problem:not-found"
    if path == "/metrics":
        status, body = asked(proxy.api.port)
        assert (status, b"cymba_api_requests_total" in body) == (200, True)


def test_whatever_nginx_refuses_is_told_as_a_problem(proxy):
    """Also where the path cannot be read, of which nginx makes a page of its own."""

    def asked(head: bytes) -> tuple[int, str, dict]:
        with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
            raw.settimeout(PATIENCE_S)
            raw.sendall(head)
            with suppress(ConnectionResetError):
                answer = b""
                while piece := raw.recv(65_536):
                    answer += piece
        told, _, body = answer.partition(b"\r\n\r\n")
        return int(told.split()[1]), told.decode().lower(), json.loads(body)

    host = b"Host: x\r\nConnection: close\r\n\r\n"
    for head, expected in (
        (b"GET /%00 HTTP/1.1\r\n" + host, 400),
        (b"GET /v1/%00/x HTTP/1.1\r\n" + host, 400),
        (b"GET /../.. HTTP/1.1\r\n" + host, 400),
        (b"GET /%zz HTTP/1.1\r\n" + host, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n" + host, 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + host, 414),
        (b"TRACE / HTTP/1.1\r\n" + host, 405),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + host, 501),
        (b"GET /problem/400 HTTP/1.1\r\n" + host, 404),
        (b"GET / HTTP/7.0\r\n" + host, 505),
    ):
        status, told, problem = asked(head)
        assert status == expected, head[:40]
        assert "content-type: application/problem+json" in told, head[:40]
        assert problem["status"] == status
        assert problem["type"].startswith("urn:cymba:problem:")


def test_nobody_escapes_throttling_by_saying_they_come_from_elsewhere(proxy):
    with proxy.client("127.0.0.2") as guesser:
        statuses = [
            guess(guesser, "ana@example.org", **{"X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(6)
        ]
    assert statuses == [401] * 5 + [429]
    with proxy.client("127.0.0.3") as somebody_else:  # and the API knows them apart
        assert guess(somebody_else, "ana@example.org") == 401


def test_another_proxy_in_front_is_believed_where_it_is_named(proxied):
    proxied.start(OUTER_PROXY="127.0.0.9")

    def guess_from(address: str, said: str) -> int:
        with proxied.client(address) as client:
            return guess(client, "bea@example.org", **{"X-Forwarded-For": said})

    assert [guess_from("127.0.0.9", f"198.51.100.{n}, 203.0.113.7") for n in range(6)] == [
        *[401] * 5,
        429,
    ]
    assert guess_from("127.0.0.9", "203.0.113.8") == 401
    assert guess_from("127.0.0.2", "203.0.113.7") == 401  # whoever else says so is 127.0.0.2


def test_bodies_are_bounded_where_the_api_bounds_them(proxy, person):
    largest = max(frames.MAX_BODY_BYTES, feed.MAX_BODY_BYTES)
    headers = person.headers | {"Content-Type": "application/json"}
    path = "/v1/devices/not-a-device/frames"
    with proxy.client() as client:
        taken = client.post(path, content=b"[]".ljust(largest), headers=headers)
        assert taken.status_code == 404, taken.text
        refused = client.post(path, content=b"[]".ljust(largest + 1), headers=headers)
    assert refused.status_code == 413
    problem = refused.json()
    assert problem.pop("request_id")
    with httpx.Client(base_url=proxy.api.url) as direct:
        # The API itself looks at the device first; a push is the same for all.
        own = direct.post("/v1/sync", content=b"[]".ljust(largest + 1), headers=headers).json()
    assert {**own, "request_id": "", "detail": ""} == {**problem, "request_id": "", "detail": ""}


def test_an_api_that_is_away_is_told_as_a_problem_and_comes_back(proxy):
    proxy.api.stop()
    with proxy.client() as client:
        away = client.get("/healthz")
        assert away.status_code == 503
        assert away.headers["Content-Type"] == "application/problem+json"
        assert away.headers["Retry-After"]
        assert away.json()["type"] == "urn:cymba:problem:unavailable"
        proxy.api.start()
        assert client.get("/healthz").status_code == 200


class EmptyAnswer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Replaceable:
    """In place of the API: answers at the same address each time it is started."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), EmptyAnswer)
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_an_api_may_go_as_soon_as_the_other_is_back(tmp_path):
    """In an upgrade. The proxy must not hold both to be away because one was, a moment ago."""
    one, other = Replaceable(), Replaceable()
    proxied = Proxied(tmp_path, cast(ApiProcess, one))
    proxied.start(API=f"127.0.0.1:{one.port} 127.0.0.1:{other.port}")
    try:
        with proxied.client() as client:
            for _ in range(4):
                for goes in (one, other):
                    goes.stop()
                    assert {client.post("/").status_code for _ in range(8)} == {204}
                    goes.start()
    finally:
        proxied.stop()
        one.stop()
        other.stop()


class Endless:
    """In place of the API: what it is asked for has 32 MB, and it knows how many it got rid of."""

    SIZE = 32 * 1024 * 1024

    def __init__(self) -> None:
        self.sent: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                size = outer.SIZE if self.path == "/large" else 2
                self.send_response(200)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                number = len(outer.sent)
                outer.sent.append(0)
                piece = b"x" * min(size, 65_536)
                while outer.sent[number] < size:
                    self.wfile.write(piece)
                    outer.sent[number] += len(piece)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, daemon=True).start()


def test_clients_that_do_not_read_fill_no_disk(tmp_path):
    """What they have not taken waits in the API, which bounds how much that is. The proxy's own
    buffers would be files, and those of twelve fill the space that all share."""
    api = Endless()
    proxied = Proxied(tmp_path, cast(ApiProcess, api))
    proxied.start()
    try:
        with ExitStack() as open_until_the_end:
            for _ in range(12):
                slow = open_until_the_end.enter_context(
                    socket.create_connection(("127.0.0.1", proxied.port))
                )
                slow.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            while len(api.sent) < 13 or 0 in api.sent:  # one is the health that was asked for
                time.sleep(0.01)
            with proxied.client("127.0.0.3") as neighbour:
                for _ in range(200):
                    assert neighbour.get("/small").content == b"xx"
            files = sum(one.stat().st_size for one in proxied.run.rglob("*") if one.is_file())
            assert files < 1_000_000
            assert max(api.sent) < api.SIZE
    finally:
        proxied.stop()
        api.server.shutdown()
        api.server.server_close()
