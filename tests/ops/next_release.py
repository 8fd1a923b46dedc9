"""A release after this one: it has a migration more, and is the same otherwise."""

import shutil
from pathlib import Path

import migrations

REVISION = "9999"
STEP = '''"""Add what a next release might."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("device", sa.Column("of_the_next", sa.Text(), nullable=True))
    op.create_table("next_thing", sa.Column("id", sa.BigInteger(), primary_key=True))
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_frame_of_the_next", "frame", ["received_at"],
            postgresql_concurrently=True, if_not_exists=True,
        )
'''


def next_release(folder: Path) -> Path:
    """What comes first in its PYTHONPATH."""
    shutil.copytree(
        migrations.FOLDER, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    step = folder / "migrations" / "versions" / f"{REVISION}_add_next_thing.py"
    step.write_text(STEP.format(revision=REVISION, before=migrations.head()))
    return folder
