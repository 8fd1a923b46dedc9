"""How far the archive of the database's log is. A replica that is behind is in the drills."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.operations.log_lag import ArchiveLag

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)
SEGMENT = 16 * 2**20
LAST = "pg_walfile_name(pg_current_wal_lsn() - 16777216)"


def end_segment(session: Session) -> None:
    session.execute(text("SELECT pg_logical_emit_message(false, 'a', 'b'), pg_switch_wal()"))
    session.execute(text("SELECT pg_logical_emit_message(false, 'a', 'b', true)"))  # in the next


def archived(session: Session, name: str) -> None:
    update = f"UPDATE pg_temp.pg_stat_archiver SET last_archived_wal = {name}"  # noqa: S608
    session.execute(text(update))


@pytest.fixture
def archiving(session: Session) -> Session:
    """The server of the tests as one that archives: what a session makes comes before what is the
    server's own."""
    for one in (
        "CREATE TEMP TABLE pg_stat_archiver (last_archived_wal text)",
        "INSERT INTO pg_temp.pg_stat_archiver VALUES (NULL)",
        "CREATE TEMP TABLE pg_settings AS SELECT 'archive_mode' AS name, 'on' AS setting",
    ):
        session.execute(text(one))
    return session


def test_without_an_archive_there_is_nothing_to_tell(session: Session) -> None:
    assert ArchiveLag().read(session, NOW) is None


def test_an_archive_is_behind_since_a_segment_ended_that_it_lacks(archiving: Session) -> None:
    lag = ArchiveLag()
    archived(archiving, LAST)
    assert lag.read(archiving, NOW) == (0, 0)
    end_segment(archiving)
    assert lag.read(archiving, NOW + timedelta(minutes=1)) == (SEGMENT, 0)
    end_segment(archiving)
    assert lag.read(archiving, NOW + timedelta(minutes=5)) == (2 * SEGMENT, 240)
    archived(archiving, LAST)
    assert lag.read(archiving, NOW + timedelta(minutes=6)) == (0, 0)


def test_one_that_never_took_anything_is_behind_by_the_next_segment(archiving: Session) -> None:
    """And not by what ended before there was an archive."""
    lag = ArchiveLag()
    assert lag.read(archiving, NOW) == (0, 0)
    end_segment(archiving)
    lag.read(archiving, NOW)
    assert lag.read(archiving, NOW + timedelta(minutes=20)) == (SEGMENT, 1200)


@pytest.mark.parametrize("other", ["00000002.history", "000000010000000000000001.00000028.backup"])
def test_what_is_no_segment_does_not_tell_how_far_it_is(archiving: Session, other: str) -> None:
    lag = ArchiveLag()
    archived(archiving, LAST)
    lag.read(archiving, NOW)
    archived(archiving, f"'{other}'")
    assert lag.read(archiving, NOW + timedelta(hours=8)) == (0, 0)
    assert ArchiveLag().read(archiving, NOW) == (0, 0)
