"""`cymba api` and nginx as processes, each started and ended by itself; and clients of them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import yaml

from tests.end_to_end.parts import PATIENCE_S, ROOT
from tests.free_ports import free_port

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
TRUSTED_PROXIES: str = COMPOSE["api"]["environment"]["CYMBA_TRUSTED_PROXIES"]


class ApiProcess:
    """`cymba api` on ports of its own, which it keeps when it is started again."""

    def __init__(self, log: Path, environ: Mapping[str, str], *, workers: int = 1) -> None:
        self.log = log
        self._workers = workers
        self.port, self.health_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._began_at_byte = 0
        self._environ = {**environ, "CYMBA_METRICS_PORT": str(self.health_port)}

    def start(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        command = [str(Path(sys.executable).parent / "cymba"), "api", "--port", str(self.port)]
        command += ["--workers", str(self._workers)]
        with self.log.open("ab") as log:
            self._began_at_byte = log.tell()
            self.process = subprocess.Popen(
                command, env=os.environ | self._environ, stdout=log, stderr=log
            )
        wait_for_answer(self.process, f"{self.url}/healthz", self.log)

    def logged(self) -> str:
        """Since it was started last."""
        return self.log.read_bytes()[self._began_at_byte :].decode()

    def stop(self) -> int | None:
        """Ask it to stop, as an operator does; its exit status."""
        stopped, self.process = self.process, None
        if stopped is None:
            return None
        stopped.terminate()
        return stopped.wait()


class Proxied:
    """An nginx as compose runs it, with the shipped entrypoint and configuration, before `api`."""

    def __init__(self, folder: Path, api: ApiProcess) -> None:
        self.folder = folder
        self.api = api
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config, self.run, self.tls = (folder / name for name in ("nginx", "run", "tls"))
        self.tls.mkdir()
        self.run.mkdir()
        shutil.copytree(ROOT / "deploy" / "nginx", self.config)
        file = self.config / "nginx.conf"
        file.write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + file.read_text().replace("worker_processes auto", "worker_processes 2")
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        own = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "NGINX_CONFIG": str(self.config),
            "NGINX_TLS": str(self.tls),
            "NGINX_RUN": str(self.run),
            "API": self.api.url.removeprefix("http://"),
            "HTTP_LISTEN": f"127.0.0.1:{self.port}",
            "HTTPS_LISTEN": f"127.0.0.1:{self.tls_port}",
        }
        log_file = self.folder / "nginx.log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", str(self.config / "entrypoint.sh")],
                env=os.environ | own | environ, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for_answer(self._process, f"{self.url}/healthz", log_file)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def client(self, address: str = "127.0.0.1") -> httpx.Client:
        """Who asks from `address`, one of this machine's own."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=PATIENCE_S)


def wait_for_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while True:
        try:
            httpx.get(url, timeout=PATIENCE_S)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return


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
