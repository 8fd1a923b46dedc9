"""A streaming replica of the tests' server, as the page on operating sets one up."""

import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from sqlalchemy.engine import make_url

from ops import postgres
from ops.postgres import EmbeddedPostgres
from tests.end_to_end.parts import wait_until
from tests.kept_database import at_database


class Standby:
    """Follows `primary` until `stop`."""

    def __init__(self, primary: EmbeddedPostgres) -> None:
        server = primary.server
        user = server.system_user
        # Beside it, where its user may go.
        folder = Path(mkdtemp(prefix="s", dir=server.pgdata.parent)) / "data"
        if user is not None:
            shutil.chown(folder.parent, user)
        subprocess.run(
            [
                server.bin_path / "pg_basebackup", "--pgdata", folder, "--dbname", primary.url,
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            ],
            check=True, user=user, cwd=folder.parent,
        )  # fmt: skip
        for left in (*folder.glob(".s.PGSQL*"), folder / "log"):  # the primary's own
            left.unlink()
        with (folder / "postgresql.auto.conf").open("a") as settings:
            settings.write("hot_standby_feedback = on\nmax_standby_streaming_delay = 0\n")
        self._server = postgres.start(folder)
        self.url = self._server.url

    def database(self, database_url: str) -> str:
        """Where this server has the database of `database_url`."""
        name = make_url(database_url).database or ""
        has = "SELECT 1 FROM pg_database WHERE datname = %s"
        wait_until(lambda: bool(self.say(has, name)), what="the replica has the database")
        return at_database(self.url, name)

    def say(self, statement: str, *values: object) -> list[tuple]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server = postgres.start(self._server.server.pgdata)
