"""A PgBouncer in transaction mode, as the page on operating sets one up."""

import getpass
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.free_ports import free_port
from tests.programs import PGBOUNCER


class PgBouncer:
    """Stands before the server of `server_url` until `stop`, with few connections for all."""

    def __init__(self, folder: Path, server_url: str, role: str, *, connections: int) -> None:
        assert PGBOUNCER is not None, "pgbouncer is not installed"
        folder.mkdir()
        self.port = free_port()
        server = make_url(server_url)
        host = server.query.get("host", server.host)
        (folder / "users").write_text(f'"{role}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"""[databases]
* = host={host} port={server.port or 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
server_login_retry = 0.05
"""
        )
        self._log = folder / "log"
        command: list[str | Path] = [PGBOUNCER, folder / "pgbouncer.ini"]
        if getpass.getuser() == "root":  # it refuses to run as root
            command += ["-u", Path(str(host)).owner()]  # who may come to the server's socket
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: "process up" in self.log, what=lambda: f"PgBouncer: {self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def url(self, database_url: str) -> str:
        """Where the database of `database_url` is found through it."""
        url = make_url(database_url)
        through = url.set(host="127.0.0.1", port=self.port, query={})
        return through.render_as_string(hide_password=False)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
