"""A step outside of a transaction, as docs/migrations.md has it, runs under the lock too."""

import os
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import Engine, inspect

import migrations
from ops import schema

STEP = """
from alembic import op

revision = "{number}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_frame_sid", "frame", ["sid"], postgresql_concurrently=True, if_not_exists=True
        )


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_frame_sid", "frame", postgresql_concurrently=True, if_exists=True)
"""


@pytest.fixture
def next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One more step after the last, which makes an index concurrently."""
    before = migrations.head()
    number = f"{int(before) + 1:04}"
    (tmp_path / f"{number}_index_frames.py").write_text(STEP.format(number=number, before=before))
    plain = migrations.config

    def with_one_more() -> Config:
        config = plain()
        folders = (migrations.FOLDER / "versions", tmp_path)
        config.set_main_option("version_locations", os.pathsep.join(map(str, folders)))
        return config

    monkeypatch.setattr(migrations, "config", with_one_more)
    monkeypatch.setattr(migrations, "head", lambda: number)
    return number


def indexes(engine: Engine) -> set[str | None]:
    return {index["name"] for index in inspect(engine).get_indexes("frame")}


def test_an_index_is_made_concurrently_up_down_and_up(empty_engine: Engine, next_step: str) -> None:
    upgraded = schema.upgrade(empty_engine)
    assert isinstance(upgraded, schema.Upgraded)
    assert upgraded.applied[-1] == next_step
    assert "ix_frame_sid" in indexes(empty_engine)
    schema.downgrade(empty_engine, f"{int(next_step) - 1:04}")
    assert "ix_frame_sid" not in indexes(empty_engine)
    schema.upgrade(empty_engine)
    assert "ix_frame_sid" in indexes(empty_engine)
