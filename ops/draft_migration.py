"""`make migration NAME=add_thing`: draft the next migration from the changes to the models.

A draft is a proposal. Read it, make it safe for tables that are full and in use
(`docs/migrations.md`), and commit it.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

import migrations
from cymba.database import make_engine
from ops import postgres, schema


def next_number() -> str:
    """The number after the newest revision's: revisions are named NNNN."""
    newest = ScriptDirectory.from_config(migrations.config()).get_current_head()
    return f"{int(newest or 0) + 1:04}"


def draft(name: str) -> Path:
    """Write `versions/NNNN_name.py` with what alembic finds changed, and return its path."""
    number = next_number()
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        engine = make_engine(server.url)
        try:
            if number != "0001":
                schema.upgrade(engine)
            with engine.connect() as connection:
                config = migrations.config()
                config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
                config.attributes["connection"] = connection
                message = name.replace("_", " ").capitalize()
                command.revision(config, message, autogenerate=True, rev_id=number)
        finally:
            engine.dispose()
            server.stop()
    path = next((migrations.FOLDER / "versions").glob(f"{number}_*.py"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line))  # alembic's marks
    for tidy in (("format", "--quiet"), ("check", "--fix", "--quiet")):
        # Whatever ruff cannot fix is left for the reader of the draft.
        subprocess.run([sys.executable, "-m", "ruff", *tidy, path], check=False)  # noqa: S603 - ours
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", sys.argv[1]):
        sys.exit("name the migration by what it does: verb_object, e.g. add_diary")
    sys.stdout.write(f"{draft(sys.argv[1])}\n")
