"""The gateway's flash store: a file that keeps each frame until the server has acknowledged it.

Each commit is on the disk before it returns, so a killed program or a pulled plug uses no number
twice and loses at most the samples that were not written yet. A thread opens the store for itself.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from cymba.stimulation.wire.messages import EndFrame, Frame, SamplesFrame, StartFrame, to_json
from firmware.brokers import KeptRelocation
from gateway.clock import ProgramBoot, machine_ms

DAY_MS = 24 * 3600 * 1000

SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (
  one INTEGER PRIMARY KEY CHECK (one = 1), store INTEGER NOT NULL, next_seq INTEGER NOT NULL,
  boot INTEGER NOT NULL, began_ms INTEGER NOT NULL, may_be_on INTEGER NOT NULL,
  renewal_is_due INTEGER NOT NULL, desired BLOB, told TEXT
);
CREATE TABLE IF NOT EXISTS frame (
  number INTEGER PRIMARY KEY AUTOINCREMENT, store INTEGER NOT NULL, seq INTEGER NOT NULL,
  content BLOB NOT NULL, UNIQUE (store, seq)
);
CREATE TABLE IF NOT EXISTS open_session (
  sid TEXT PRIMARY KEY, store INTEGER NOT NULL, boot INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  began_up_ms INTEGER NOT NULL,
  recorded_up_ms INTEGER NOT NULL, machine_ms INTEGER NOT NULL, began_utc_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS relocation (
  one INTEGER PRIMARY KEY CHECK (one = 1), content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS spent (ended_utc_ms INTEGER NOT NULL, seconds REAL NOT NULL);
"""


class StoreInUse(Exception):
    """Another gateway runs on the same folder: two would give one number to two frames."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What names a frame: given by the store, written with it."""

    store: int
    seq: int
    boot: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    sid: UUID
    boot: int
    first_seq: int
    began_up_ms: int
    recorded_up_ms: int  # what is written reaches up to here
    machine_ms: int
    began_utc_ms: int

    @property
    def machine_restarted(self) -> bool:
        return machine_ms() < self.machine_ms


class FrameStore:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(folder / "store.sqlite", timeout=30, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            for statement in SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(
                "INSERT INTO counters VALUES (1, ?, 1, 0, 0, 0, 0, NULL, NULL) "
                "ON CONFLICT DO NOTHING",
                (_new_store(),),
            )

    def close(self) -> None:
        self._db.close()

    # The boot.

    def begin_boot(self) -> ProgramBoot:
        with self._transaction():
            boot = ProgramBoot(self._counter("boot") + 1, machine_ms())
            self._db.execute("UPDATE counters SET boot = ?, began_ms = ?",
                             (boot.number, boot.began_ms))  # fmt: skip
        return boot

    def boot(self) -> ProgramBoot:
        return ProgramBoot(self._counter("boot"), self._counter("began_ms"))

    @property
    def number(self) -> int:
        return self._counter("store")

    # Frames.

    @property
    def next_seq(self) -> int:
        """Of the thread that writes frames: the number of the next."""
        return self._counter("next_seq")

    def write(self, make: Callable[[Numbers], Frame], *, boot: int) -> Frame:
        """Number a frame and keep it; with it, what is known of the session that is open."""
        with self._transaction():
            numbers = Numbers(self._counter("store"), self._counter("next_seq"), boot)
            frame = make(numbers)
            self._db.execute("UPDATE counters SET next_seq = next_seq + 1")
            self._db.execute("INSERT INTO frame (store, seq, content) VALUES (?, ?, ?)",
                             (numbers.store, numbers.seq, to_json(frame)))  # fmt: skip
            self._note_session(frame)
        return frame

    def frames_after(self, number: int) -> list[tuple[int, Frame]]:
        """What is kept, with the store's own running number; 0 is before all."""
        rows = self._db.execute(
            "SELECT number, content FROM frame WHERE number > ? ORDER BY number", (number,)
        )
        return [(at, msgspec.json.decode(content, type=Frame)) for at, content in rows]

    def free(self, keys: Iterable[tuple[int, int]]) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM frame WHERE store = ? AND seq = ?", keys)

    def __len__(self) -> int:
        count: int = self._db.execute("SELECT count(*) FROM frame").fetchone()[0]
        return count

    def ask_for_renewal(self) -> None:
        """Other content is stored under a number of ours: the counter is not to be trusted."""
        self._db.execute("UPDATE counters SET renewal_is_due = 1")

    def renew_if_due(self) -> None:
        """Draw a new store, between sessions: `seq` begins at 1 again. What is kept stays."""
        self._db.execute(
            "UPDATE counters SET store = ?, next_seq = 1, renewal_is_due = 0 "
            "WHERE renewal_is_due = 1",
            (_new_store(),),
        )

    # Sessions.

    def open_session(self) -> OpenSession | None:
        row = self._db.execute(
            "SELECT sid, boot, first_seq, began_up_ms, recorded_up_ms, machine_ms, began_utc_ms "
            "FROM open_session"
        ).fetchone()
        return None if row is None else OpenSession(UUID(row[0]), *row[1:])

    def note_spent(self, ended_utc_ms: int, seconds: float) -> None:
        self._db.execute("INSERT INTO spent VALUES (?, ?)", (ended_utc_ms, seconds))

    def spent_in_a_day(self, now_utc_ms: int) -> list[float]:
        """The seconds of each session of the last 24 hours. One that ended in the future, because
        the date was set back, counts as well."""
        rows = self._db.execute(
            "SELECT seconds FROM spent WHERE ended_utc_ms > ?", (now_utc_ms - DAY_MS,)
        )
        return [seconds for (seconds,) in rows]

    @property
    def may_be_on(self) -> bool:
        """Whether the stimulator was started and a stop has not come through since."""
        return bool(self._counter("may_be_on"))

    def set_may_be_on(self, *, is_so: bool) -> None:
        self._db.execute("UPDATE counters SET may_be_on = ?", (is_so,))

    # What the server set, and what the network side last said of itself.

    @property
    def desired(self) -> bytes | None:
        """The newest version of the programme that was applied, as it came."""
        held: bytes | None = self._db.execute("SELECT desired FROM counters").fetchone()[0]
        return held

    def hold(self, desired: bytes) -> None:
        self._db.execute("UPDATE counters SET desired = ?", (desired,))

    @property
    def relocation(self) -> KeptRelocation | None:
        """Where the server last told it to go."""
        row = self._db.execute("SELECT content FROM relocation").fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=KeptRelocation)

    def relocate(self, kept: KeptRelocation) -> None:
        self._db.execute(
            "INSERT INTO relocation VALUES (1, ?) "
            "ON CONFLICT (one) DO UPDATE SET content = excluded.content",
            (msgspec.json.encode(kept),),
        )

    @property
    def told(self) -> str | None:
        """The last line of the network side for the person; the desk shows it."""
        line: str | None = self._db.execute("SELECT told FROM counters").fetchone()[0]
        return line

    def tell(self, line: str) -> None:
        self._db.execute("UPDATE counters SET told = ?", (line,))

    def _note_session(self, frame: Frame) -> None:
        match frame:
            case StartFrame():
                self._db.execute(
                    "INSERT INTO open_session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (str(frame.sid), frame.store, frame.boot, frame.seq, frame.up, frame.up,
                     machine_ms(), frame.utc or 0),
                )  # fmt: skip
            case EndFrame():
                self._db.execute("DELETE FROM open_session WHERE sid = ?", (str(frame.sid),))
            case _:
                lasts_ms = frame.n * frame.dt if isinstance(frame, SamplesFrame) else 0
                self._db.execute(
                    "UPDATE open_session SET recorded_up_ms = max(recorded_up_ms, ?), "
                    "machine_ms = ? WHERE sid = ?",
                    (frame.up + lasts_ms, machine_ms(), str(frame.sid)),
                )

    def _counter(self, name: str) -> int:
        value: int = self._db.execute(f"SELECT {name} FROM counters").fetchone()[0]  # noqa: S608
        return value

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep any other gateway from this folder, until this process ends or is killed.

    Raises:
        StoreInUse: another is there.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = sqlite3.connect(folder / "in-use.sqlite", timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        raise StoreInUse(f"another gateway runs on {folder}; end it first") from None
    try:
        yield
    finally:
        lock.close()


def _new_store() -> int:
    return 1 + secrets.randbelow(2**32 - 1)
