"""The history of the schema, and the revision that this code was written for.

Revisions are files `versions/NNNN_verb_object.py`, one after the other; `docs/migrations.md` says
how to add one. Running them is `ops.schema`'s work.
"""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent


def config() -> Config:
    """Alembic's configuration; there is no `alembic.ini`, so an installed package migrates too."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def head() -> str:
    """The newest revision: what the database must be at for this code to run."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None  # noqa: S101 - the history has a first revision
    return head
