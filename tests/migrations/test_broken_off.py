"""A step that breaks off half way: the next run finishes it, and `db check` names it till then."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from ops import schema
from tests.drills.table import ROWS, DrillRow
from tests.migrations import breaking_off

FRAMES = 5
# As a device sent them before the upgrade, into the oldest schema that has their table.
FRAME = """
    INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, digest, body, received_at)
    SELECT 'before', 1, n, 1, gen_random_uuid(), 2, n, int4send(n), '', now()
    FROM generate_series(1, :count) AS n
"""
DIGESTS = text("SELECT digest FROM frame ORDER BY seq")


@pytest.mark.drill
def test_a_step_that_breaks_off_at_any_statement_is_finished_by_the_next_run(
    empty_engine: Engine,
) -> None:
    """Each step at each of its statements, on one database that goes from step to step."""
    broken_off_after: list[str | None] = [None]
    number, breaks, slowest_s = 1, 0, 0.0
    made: Sequence[bytes] = []
    url = empty_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as admin:
        end = partial(breaking_off.terminate, admin)
        began_s = time.monotonic()
        while breaking_off.upgrade(empty_engine, until_statement=number, end=end):
            assert not schema.check(empty_engine).fits
            done = schema.current(empty_engine)
            if done != broken_off_after[-1]:  # by now the next step was broken off at its first
                broken_off_after.append(done)
                number = 1
            if done is not None and not made:
                with empty_engine.begin() as connection:
                    connection.execute(text(FRAME), {"count": FRAMES})
                    made = connection.scalars(DIGESTS).all()
            number = number * 2 if done is None else number + 1  # the first step has hundreds
            breaks += 1
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            began_s = time.monotonic()
    assert broken_off_after == [None, *(step.revision for step in schema.history()[:-1])]
    assert schema.check(empty_engine).fits
    with empty_engine.connect() as connection:
        kept = connection.scalars(DIGESTS).all()
    lost, doubled = len(set(made) - set(kept)), len(kept) - len(set(kept))
    told = "AdminShutdown; `cymba db check` names what is missing"
    ROWS.append(DrillRow(f"upgrade, terminated {breaks} times", slowest_s, lost, doubled, told))
    assert len(made) == FRAMES
    assert kept == made


def broken_off_build(engine: Engine) -> None:
    """Leave the tombstones' index as a build that was cut off leaves it."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("DROP INDEX ix_change_tombstone"))
        holder = engine.connect()
        holder.execute(text("LOCK TABLE change IN ROW EXCLUSIVE MODE"))
        connection.execute(text("SET lock_timeout = '100ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            connection.execute(
                text(
                    "CREATE INDEX CONCURRENTLY ix_change_tombstone ON change (changed_at) "
                    "WHERE deleted"
                )
            )
        connection.execute(text("SET lock_timeout = 0"))
        holder.close()


def is_valid(engine: Engine, name: str) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(
                text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"),
                {"name": name},
            )
        )


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded as made", "not yet recorded"])
def test_an_index_whose_build_was_cut_off_is_seen_and_built_again(
    empty_engine: Engine, recorded: bool
) -> None:
    schema.upgrade(empty_engine)
    if not recorded:
        schema.downgrade(empty_engine, "0010")
        with empty_engine.begin() as connection:
            connection.execute(text("CREATE INDEX ix_change_tombstone ON change (account_id)"))
    broken_off_build(empty_engine)
    assert not is_valid(empty_engine, "ix_change_tombstone")
    if recorded:
        state = schema.check(empty_engine)
        assert not state.fits
        assert "ix_change_tombstone" in " ".join(state.differences)
    upgraded = schema.upgrade(empty_engine)
    assert isinstance(upgraded, schema.Upgraded)
    assert upgraded.rebuilt == ("ix_change_tombstone",)
    assert is_valid(empty_engine, "ix_change_tombstone")
    assert schema.check(empty_engine).fits


def test_a_transaction_that_is_open_meanwhile_leaves_no_broken_index(empty_engine: Engine) -> None:
    """It ends later than a step waits for a table, and earlier than a concurrent step waits."""
    schema.upgrade(empty_engine)
    schema.downgrade(empty_engine, "0010")
    held: list[Connection] = []

    def open_one(_c: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        if "CREATE INDEX CONCURRENTLY" in statement and not held:
            holder = empty_engine.connect()
            holder.execute(text("LOCK TABLE change IN ROW EXCLUSIVE MODE"))
            held.append(holder)
            # It ends by itself, well after the wait for a table would have been given up.
            holder.execute(text("SET idle_in_transaction_session_timeout = '7s'"))

    event.listen(empty_engine, "before_cursor_execute", open_one)
    try:
        upgraded = schema.upgrade(empty_engine)
    finally:
        event.remove(empty_engine, "before_cursor_execute", open_one)
        for holder in held:
            holder.invalidate()
            holder.close()
    assert held
    assert isinstance(upgraded, schema.Upgraded)
    assert is_valid(empty_engine, "ix_change_tombstone")


def test_a_rebuild_that_was_cut_off_leaves_no_second_index(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine)
    with empty_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(
            text("CREATE INDEX ix_change_tombstone_ccnew ON change (changed_at) WHERE deleted")
        )
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false "
                "WHERE indexrelid = 'ix_change_tombstone_ccnew'::regclass"
            )
        )
    schema.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('ix_change_tombstone_ccnew')")) is None
    assert is_valid(empty_engine, "ix_change_tombstone")
