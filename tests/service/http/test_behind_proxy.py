"""nginx as compose runs it, with the shipped entrypoint and configuration, before the real server.

A machine without nginx tries everything else; CI must have it.
"""

import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import httpx
import pytest
import trustme
import yaml
from sqlalchemy import text

from ops import ports
from service.resources import frames, sync
from tests.end_to_end.parts import PATIENCE_S
from tests.programs import needs

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, needs("nginx")]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SLOW_CLIENTS = 200


class Proxied:
    """`cymba api` and nginx as processes, each started and ended by itself."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = environ
        self.api_port, self.port, self.tls_port = (ports.free_port() for _ in range(3))
        self.url = f"http://127.0.0.1:{self.port}"
        self.config, self.run, self.tls = (folder / name for name in ("nginx", "run", "tls"))
        self.tls.mkdir()
        self.run.mkdir()
        shutil.copytree(ROOT / "deploy" / "nginx", self.config)
        file = self.config / "nginx.conf"
        file.write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + file.read_text()
            .replace("listen 8080", f"listen 127.0.0.1:{self.port}")
            .replace("worker_processes auto", "worker_processes 2")
            .replace("http://api:8000", f"http://127.0.0.1:{self.api_port}")
        )
        file = self.config / "tls.conf"
        file.write_text(
            file.read_text().replace("listen 8443", f"listen 127.0.0.1:{self.tls_port}")
        )
        self.api: subprocess.Popen[bytes] | None = None
        self.nginx: subprocess.Popen[bytes] | None = None

    def start_api(self) -> None:
        with (self.folder / "api.log").open("ab") as log:
            self.api = subprocess.Popen(
                [sys.executable, "-m", "ops", "api", "--port", str(self.api_port)],
                env=os.environ | self.environ, stdout=log, stderr=log,
            )  # fmt: skip
        self._wait(self.api, f"http://127.0.0.1:{self.api_port}/healthz", "api.log")

    def start_nginx(self, **environ: str) -> None:
        own = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "NGINX_CONFIG": str(self.config),
            "NGINX_TLS": str(self.tls),
            "NGINX_RUN": str(self.run),
        }
        with (self.folder / "nginx.log").open("ab") as log:
            self.nginx = subprocess.Popen(
                ["/bin/sh", str(self.config / "entrypoint.sh")],
                env=os.environ | own | environ, stdout=log, stderr=log,
            )  # fmt: skip
        self._wait(self.nginx, f"{self.url}/healthz", "nginx.log")

    def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes], url: str, log: str) -> None:
        while True:
            try:
                httpx.get(url, timeout=PATIENCE_S)
            except httpx.TransportError:
                assert process.poll() is None, (self.folder / log).read_text()
                time.sleep(0.05)
            else:
                return

    def client(self, address: str = "127.0.0.1") -> httpx.Client:
        """Who asks from `address`, one of this machine's own."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=PATIENCE_S)


@pytest.fixture
def proxied(settings, database_url, tmp_path) -> Iterator[Proxied]:
    environ = {
        "CYMBA_DATABASE_URL": database_url,
        "CYMBA_SECRET_KEY": settings.secret_key,
        "CYMBA_DATA_DIR": str(tmp_path),
        "CYMBA_TRUSTED_PROXIES": COMPOSE["api"]["environment"]["CYMBA_TRUSTED_PROXIES"],
    }
    folder = tmp_path / "proxied"
    folder.mkdir()
    proxied = Proxied(folder, environ)
    try:
        proxied.start_api()
        yield proxied
    finally:
        proxied.stop(proxied.nginx)
        proxied.stop(proxied.api)


@pytest.fixture
def proxy(proxied) -> Proxied:
    proxied.start_nginx()
    return proxied


def guess(client: httpx.Client, email: str, **headers: str) -> int:
    credentials = {"email": email, "password": "not the right one"}
    return client.post("/v1/auth/token", json=credentials, headers=headers).status_code


class Dribbler:
    """A client that begins a body of ten thousand bytes, and has all the time in the world."""

    def __init__(self, port: int, address: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
        self.socket.sendall(
            b"POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000\r\n\r\n"
        )
        self.sent = 0

    def dribble(self) -> None:
        self.socket.sendall(b" ")
        self.sent += 1

    def is_waiting(self) -> bool:
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1) != b""  # closed
        except BlockingIOError:
            return True
        finally:
            self.socket.setblocking(True)

    def end(self) -> int:
        """Send the rest; gives the status of the answer."""
        self.socket.sendall(b"{}".rjust(10_000 - self.sent))
        return int(self.socket.recv(64).split()[1])


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
        status, body = asked(proxy.api_port)
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
    proxied.start_nginx(OUTER_PROXY="127.0.0.9")

    def guess_from(address: str, said: str) -> int:
        with proxied.client(address) as client:
            return guess(client, "ana@example.org", **{"X-Forwarded-For": said})

    assert [guess_from("127.0.0.9", f"198.51.100.{n}, 203.0.113.7") for n in range(6)] == [
        *[401] * 5,
        429,
    ]
    assert guess_from("127.0.0.9", "203.0.113.8") == 401
    assert guess_from("127.0.0.2", "203.0.113.7") == 401  # whoever else says so is 127.0.0.2


def test_an_event_passes_while_its_stream_is_open(proxy, wear, person):
    worn = wear(person).samples().sum_up()
    path = f"/v1/sessions/{worn.id}/live"
    headers = person.headers | {"Accept-Encoding": "gzip"}
    with proxy.client() as client, client.stream("GET", path, headers=headers) as stream:
        assert "Content-Encoding" not in stream.headers
        events = (line for line in stream.iter_lines() if line.startswith("event"))
        assert [next(events), next(events)] == ["event: start", "event: samples"]
        worn.event("lead_off")
        assert next(events) == "event: event"


def test_a_client_that_stops_reading_an_archive_gives_its_place_back(proxied, person, engine):
    """The API's thread waits for its client, and only nginx ends that."""
    file = proxied.config / "nginx.conf"
    file.write_text(file.read_text().replace("send_timeout 30s", "send_timeout 2s"))
    proxied.start_nginx()
    with engine.begin() as connection:  # more than the buffers on the way hold
        connection.execute(
            text("""
            INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail)
            SELECT :id, 'system', 'x', 'y', jsonb_build_object('noise', (
              SELECT string_agg(encode(sha256((n * 1000 + m)::text::bytea), 'base64'), '')
              FROM generate_series(1, 300) AS m))
            FROM generate_series(1, 1500) AS n"""),
            {"id": person.id},
        )
    path, bearer = "/v1/account/export", person.headers["Authorization"]
    with (
        socket.create_connection(("127.0.0.1", proxied.port)) as stopped,
        httpx.Client(base_url=f"http://127.0.0.1:{proxied.api_port}", timeout=PATIENCE_S) as direct,
    ):
        stopped.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode()
        )
        assert stopped.recv(12) == b"HTTP/1.1 200"

        def asked() -> int:
            with direct.stream("GET", path, headers=person.headers) as answer:
                return answer.status_code

        while (status := asked()) == 503:
            time.sleep(0.1)
        assert status == 200
        stopped.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            received = b""
            while piece := stopped.recv(1 << 20):
                received = (received + piece)[-1024:]
        assert not received.endswith(b"\r\n0\r\n\r\n")  # it was not simply sent to its end


def test_answers_are_compressed_unless_they_are_packed_already(proxy, wear, person):
    worn = wear(person)
    for _ in range(20):
        worn.samples(60, amplitude_ua=list(range(60)))
    worn.end().sum_up()
    telemetry = f"/v1/sessions/{worn.id}/telemetry"
    with proxy.client() as client:
        for accept, packed in (
            ("application/json", True),
            ("text/csv", True),
            ("application/vnd.apache.arrow.stream", False),
        ):
            headers = person.headers | {"Accept": accept, "Accept-Encoding": "gzip"}
            with client.stream("GET", telemetry, headers=headers) as answer:
                assert answer.status_code == 200
                assert answer.headers["Content-Type"].startswith(accept)
                raw = b"".join(answer.iter_raw())
            assert (answer.headers.get("Content-Encoding") == "gzip") is packed
            assert raw.startswith(gzip.compress(b"")[:2]) is packed
        plain = client.get(telemetry, headers=person.headers | {"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert len(plain.content) > 1024


def test_a_tag_that_compression_made_weak_still_names_its_version(proxy, wear, person):
    worn = wear(person).samples().end().sum_up()
    path = f"/v1/sessions/{worn.id}"
    with proxy.client() as client:
        note = {"note": "n" * 1500}  # long enough to be compressed
        first = client.get(path, headers=person.headers).headers["ETag"]
        changed = client.patch(path, json=note, headers=person.headers | {"If-Match": first})
        assert changed.status_code == 200, changed.text
        read = client.get(path, headers=person.headers)
        weak = read.headers["ETag"]
        assert read.headers["Content-Encoding"] == "gzip"
        assert weak.startswith("W/")
        again = client.get(path, headers=person.headers | {"If-None-Match": weak})
        assert again.status_code == 304
        headers = person.headers | {"If-Match": weak}
        assert client.patch(path, json={"note": "b"}, headers=headers).status_code == 200
        assert client.patch(path, json={"note": "c"}, headers=headers).status_code == 412


def test_bodies_are_bounded_where_the_api_bounds_them(proxy, person):
    largest = max(frames.MAX_BODY_BYTES, sync.MAX_BODY_BYTES)
    headers = person.headers | {"Content-Type": "application/json"}
    path = "/v1/devices/not-a-device/frames"
    with proxy.client() as client:
        taken = client.post(path, content=b"[]".ljust(largest), headers=headers)
        assert taken.status_code == 404, taken.text
        refused = client.post(path, content=b"[]".ljust(largest + 1), headers=headers)
    assert refused.status_code == 413
    problem = refused.json()
    assert problem.pop("request_id")
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.api_port}") as direct:
        # The API itself looks at the device first; a push is the same for all.
        own = direct.post("/v1/sync", content=b"[]".ljust(largest + 1), headers=headers).json()
    assert {**own, "request_id": "", "detail": ""} == {**problem, "request_id": "", "detail": ""}


def test_an_api_that_is_away_is_told_as_a_problem_and_comes_back(proxy):
    proxy.stop(proxy.api)
    with proxy.client() as client:
        away = client.get("/healthz")
        assert away.status_code == 503
        assert away.headers["Content-Type"] == "application/problem+json"
        assert away.headers["Retry-After"]
        assert away.json()["type"] == "urn:cymba:problem:unavailable"
        proxy.start_api()
        assert client.get("/healthz").status_code == 200


def test_with_a_certificate_there_is_tls(proxied):
    authority = trustme.CA()
    # An RSA key, whose exchange without forward secrecy a server could still be asked for.
    certificate = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    certificate.private_key_pem.write_to_path(proxied.tls / "server.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(proxied.tls / "server.crt", append=True)
    proxied.start_nginx()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    answer = httpx.get(f"https://127.0.0.1:{proxied.tls_port}/healthz", verify=context)
    assert answer.json() == {"status": "alive"}
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    plain = httpx.get(f"http://127.0.0.1:{proxied.port}/healthz")
    assert "Strict-Transport-Security" not in plain.headers
    assert handshakes(proxied.tls_port, authority, "ECDHE-RSA-AES128-GCM-SHA256")
    assert not handshakes(proxied.tls_port, authority, "AES128-GCM-SHA256:AES256-GCM-SHA384")
    assert not handshakes(proxied.tls_port, authority, "ECDHE-RSA-AES128-SHA256")


def handshakes(port: int, authority: trustme.CA, ciphers: str) -> bool:
    """Whether a client that offers only these, and TLS 1.2, comes to terms with the server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", port)) as line:
        try:
            context.wrap_socket(line, server_hostname="127.0.0.1").close()
        except OSError:
            return False
    return True
