"""Health Connect's export: an SQLite database, in a ZIP archive or bare.

Its tables are no published contract. These names are those that several open readers of such
files agree on (2026-11); a table or a column that is not there gives nothing. Times are
milliseconds since 1970. `uuid` is the record's own id, by which it is known again.

The file comes from a stranger: it is opened for reading alone, views and virtual tables are not
looked at, nothing that its schema names is run, a value has a largest size, and a query a longest
time.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, Final, NamedTuple

from cymba.imports.found import Found, LeftOut, NotTaken, reading

MAGIC: Final = b"SQLite format 3\0"
_LONGEST_S: Final = 900.0
_MAX_VALUE_BYTES: Final = 100_000
_STEPS: Final = 100_000  # of SQLite's machine, between two looks at the clock
_MAX_INTERVAL_MS: Final = 2**62

# By the number of `stage_type`, as in Android's `SleepSessionRecord`.
_STAGES: Final = {
    0: "unknown",
    1: "awake",
    2: "asleep",
    3: "out_of_bed",
    4: "light",
    5: "deep",
    6: "rem",
    7: "awake",  # in bed
}


class _Table(NamedTuple):
    """What a kind is read from, if the file has these columns."""

    kind: str
    needs: tuple[tuple[str, tuple[str, ...]], ...]
    query: str  # start, end, value, id of the record, place in it, row of its app


_QUERIES: Final = (
    _Table(
        "heart_rate",
        (
            ("heart_rate_record_series_table", ("parent_key", "epoch_millis", "beats_per_minute")),
            ("heart_rate_record_table", ("row_id", "uuid", "app_info_id")),
        ),
        "SELECT s.epoch_millis, s.epoch_millis, s.beats_per_minute, r.uuid, s.epoch_millis,"
        " r.app_info_id FROM heart_rate_record_series_table AS s"
        " LEFT JOIN heart_rate_record_table AS r ON r.row_id = s.parent_key",
    ),
    _Table(
        "resting_heart_rate",
        (("resting_heart_rate_record_table", ("time", "beats_per_minute", "uuid", "app_info_id")),),
        "SELECT time, time, beats_per_minute, uuid, 0, app_info_id"
        " FROM resting_heart_rate_record_table",
    ),
    _Table(
        "hrv_rmssd",
        (
            (
                "heart_rate_variability_rmssd_record_table",
                ("time", "heart_rate_variability_millis", "uuid", "app_info_id"),
            ),
        ),
        "SELECT time, time, heart_rate_variability_millis, uuid, 0, app_info_id"
        " FROM heart_rate_variability_rmssd_record_table",
    ),
    _Table(
        "sleep",
        (
            (
                "sleep_stages_table",
                ("parent_key", "stage_start_time", "stage_end_time", "stage_type"),
            ),
            ("sleep_session_record_table", ("row_id", "uuid", "app_info_id")),
        ),
        "SELECT s.stage_start_time, s.stage_end_time, s.stage_type, r.uuid, s.stage_start_time,"
        " r.app_info_id FROM sleep_stages_table AS s"
        " LEFT JOIN sleep_session_record_table AS r ON r.row_id = s.parent_key",
    ),
    # A night as a whole, from falling asleep to getting up, waking included.
    _Table(
        "session",
        (("sleep_session_record_table", ("start_time", "end_time", "uuid", "app_info_id")),),
        "SELECT start_time, end_time, NULL, uuid, 'whole', app_info_id"
        " FROM sleep_session_record_table",
    ),
)


def is_database(head: bytes) -> bool:
    return head.startswith(MAGIC)


def readings(file: BinaryIO, *, now: datetime) -> Iterator[Found]:
    """SQLite needs a file of its own: it lies in the folder for temporary files while it is read.

    Raises:
        NotTaken: the database is damaged, or a stranger's.
    """
    with tempfile.TemporaryDirectory(prefix="cymba-import-") as folder:
        path = Path(folder) / "export.db"
        with path.open("wb") as copy:
            while chunk := file.read(256 * 1024):
                copy.write(chunk)
        try:
            with closing(_opened(path)) as database:
                yield from _readings(database, now)
        except sqlite3.Error as error:
            slow = "interrupted" in str(error)
            raise NotTaken("too-slow" if slow else "broken-database") from error
        except (OverflowError, UnicodeDecodeError) as error:
            raise NotTaken("broken-database") from error


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    end_s = monotonic() + _LONGEST_S
    database.set_progress_handler(lambda: monotonic() > end_s, _STEPS)
    for pragma in ("trusted_schema=OFF", "query_only=ON", "automatic_index=OFF", "mmap_size=0"):
        database.execute(f"PRAGMA {pragma}")
    return database


def _readings(database: sqlite3.Connection, now: datetime) -> Iterator[Found]:
    columns = _columns(database)
    known = [one for one in _QUERIES if _has(columns, one)]
    if not known:
        raise NotTaken("unknown-format")
    apps = _apps(database, columns)
    for table in known:
        for row in database.execute(table.query):
            yield _found(table.kind, row, apps, now)


def _columns(database: sqlite3.Connection) -> dict[str, set[str]]:
    """Of real tables: a view or a virtual table has no page of its own."""
    rows = database.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
    ).fetchmany(1_000)
    wanted = {name for one in _QUERIES for name, _ in one.needs} | {"application_info_table"}
    return {
        name: {
            column
            for column, hidden in database.execute(
                "SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)
            )
            if not hidden  # nor is it computed
        }
        for (name,) in rows
        if name in wanted
    }


def _has(columns: dict[str, set[str]], table: _Table) -> bool:
    return all(set(needed) <= columns.get(name, set()) for name, needed in table.needs)


def _apps(database: sqlite3.Connection, columns: dict[str, set[str]]) -> dict[int, str]:
    if not {"row_id", "package_name"} <= columns.get("application_info_table", set()):
        return {}
    rows = database.execute("SELECT row_id, package_name FROM application_info_table")
    return {row: name for row, name in rows.fetchmany(1_000) if isinstance(name, str)}


def _found(kind: str, row: tuple[Any, ...], apps: dict[int, str], now: datetime) -> Found:
    started, ended, value, uuid, place, app = row
    started_at, ended_at = _time(started), _time(ended)
    if started_at is None or ended_at is None:
        return LeftOut("no-time")
    source_id = f"{uuid.hex()}/{place}" if isinstance(uuid, bytes) and uuid else None
    stage = None
    if kind == "sleep":
        stage = _STAGES.get(value) if isinstance(value, int) else None
        if stage is None:
            return LeftOut("unknown-stage")
    elif kind == "session":
        kind, stage = "sleep", "session"
    elif not isinstance(value, int | float):
        return LeftOut("not-a-number")
    return reading(
        kind,
        started_at,
        ended_at,
        source=apps.get(app, "") if isinstance(app, int) else "",
        value=None if stage else float(value),
        stage=stage,
        source_id=source_id,
        now=now,
    )


def _time(millis: object) -> datetime | None:
    if not isinstance(millis, int) or not 0 <= millis < _MAX_INTERVAL_MS:
        return None
    try:
        return datetime.fromtimestamp(millis / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
