"""The process that reads what people bring from elsewhere, stores it and takes it away again.

A file may be large and a stranger's, so no request waits for it, and no other worker: one account's
import is at most one of this process's turns.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, func, select

from cymba.database import UnitOfWork, utc_now
from cymba.imports import files, staging
from cymba.imports.diary_table import Survey
from cymba.imports.files import Opened
from cymba.imports.found import Draft, Found, FoundReading, LeftOut, NotTaken
from cymba.imports.mapping import Mapping
from cymba.imports.preview import Understood
from cymba.imports.staging import MAX_ATTEMPTS, MAX_ENTRIES, READINGS_AT_ONCE, Job, PieceFile
from cymba.settings import Settings
from workers.asides import Asides
from workers.progress import Progress

IMPORTS_A_ROUND: Final = 10
LONGEST_S: Final = 3600.0  # a whole gigabyte takes minutes
_FOUND_AT_ONCE: Final = 20_000  # between two signs of life
_DRAFTS_AT_ONCE: Final = 100  # that are looked up before they are written
_LOCK: Final = 0x63796D62  # "cymb", beside the import's own number

log = structlog.get_logger(__name__)


class _Dropped(Exception):
    """The person has dropped the import meanwhile, or is erased."""


class ImportsWorker:
    """Any number may run, and each may be killed at any moment."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine, self._settings, self._clock = engine, settings, clock
        progress = progress or Progress()
        self._beat = progress.heartbeat.beat
        self._asides = Asides[UUID]("import", progress, clock)

    def run_once(self) -> tuple[bool, int]:
        """Work on some imports. Whether there may be more, and how many failed.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        self._asides.begin_round()
        with UnitOfWork(self._engine) as session:
            due = staging.due(session, limit=IMPORTS_A_ROUND, but=self._asides.waiting())
        done = self._asides.each(due, lambda ids: self._work(ids[0]))
        return done > 0, len(self._asides.failed)

    def _work(self, id_: UUID) -> int:
        with self._turn(id_) as is_ours:
            if not is_ours:
                return 0
            with UnitOfWork(self._engine) as session, session.begin():
                job = staging.take(session, id_)
            if job is None:
                return 0
            try:
                self._do(job)
            except _Dropped:
                log.info("an import was dropped while it was worked on", imported=str(id_))
        return 1

    @contextmanager
    def _turn(self, id_: UUID) -> Iterator[bool]:
        """Whether no other worker has it. The lock goes with this process."""
        key = func.hashtextextended(str(id_), _LOCK)
        with self._engine.connect() as plain:
            line = plain.execution_options(isolation_level="AUTOCOMMIT")
            if not line.scalar(select(func.pg_try_advisory_lock(key))):
                yield False
                return
            try:
                yield True
            finally:
                line.execute(select(func.pg_advisory_unlock(key)))

    def _do(self, job: Job) -> None:
        if job.state == "undoing":
            self._take_away(job)
            return
        if job.attempts > MAX_ATTEMPTS:
            self._give_up(job, "gave-up")
            return
        try:
            if job.state == "storing":
                self._store(job)
            else:
                self._read(job)
        except NotTaken as error:
            self._give_up(job, error.code)

    def _give_up(self, job: Job, why: str) -> None:
        self._clear(job)
        with UnitOfWork(self._engine) as session, session.begin():
            staging.fail(session, job, why, now=self._clock())
        log.info("an import was not taken", imported=str(job.id), why=why)

    def _read(self, job: Job) -> None:
        self._clear(job)
        now = self._clock()
        with self._opened(job) as opened:
            seen = opened.survey
            mapping = job.mapping if seen is None else job.mapping or seen.proposed(job.time_zone)
            understood = self._stage(job, opened.found(mapping, now=now))
            preview = understood.shown(ZoneInfo(job.time_zone)) | _about_table(seen, mapping)
            with UnitOfWork(self._engine) as session, session.begin():
                staging.show(
                    session,
                    job,
                    format_=opened.format,
                    mapping=mapping,
                    preview=preview,
                    now=self._clock(),
                )

    def _stage(self, job: Job, found: Iterator[Found]) -> Understood:
        understood, digests = Understood(), set[bytes]()
        end_s = monotonic() + LONGEST_S
        with UnitOfWork(self._engine) as session:
            left = self._settings.import_readings - staging.count_readings(session, job.account_id)
        for some in _in_batches(found, understood):
            left -= self._take_some(job, some, understood, digests)
            self._beat()
            if left < 0:
                raise NotTaken("too-many-readings")
            if len(digests) > MAX_ENTRIES:
                raise NotTaken("too-many-entries")
            if monotonic() > end_s:
                raise NotTaken("too-slow")
        return understood

    def _take_some(
        self,
        job: Job,
        some: Sequence[FoundReading | Draft],
        understood: Understood,
        digests: set[bytes],
    ) -> int:
        """How many readings were written."""
        readings = [one for one in some if isinstance(one, FoundReading)]
        drafts = [one for one in some if isinstance(one, Draft)]
        with UnitOfWork(self._engine) as session, session.begin():
            if not staging.stands(session, job):
                raise _Dropped
            written = staging.stage(session, job, readings) if readings else {}
            known = staging.known_digests(session, job.account_id, [one.digest for one in drafts])
        for reading in readings:
            understood.take(reading.kind, reading.started_at)
        for kind, count in Counter(one.kind for one in readings).items():
            understood.duplicate(kind, count - written.get(kind, 0))
        for draft in drafts:
            understood.take("diary_entry", draft.felt_at)
            understood.without_time += draft.without_time
            understood.said_twice += draft.said_twice
            if draft.digest in known or draft.digest in digests:
                understood.duplicate("diary_entry", 1)
            else:
                digests.add(draft.digest)
        return sum(written.values())

    def _store(self, job: Job) -> None:
        now = self._clock()
        with UnitOfWork(self._engine) as session, session.begin():
            if not staging.stands(session, job):
                raise _Dropped
            if job.mapping is None:
                staging.store(session, job, (), now=now)
                return
            with self._opened(job) as opened:
                found = opened.found(job.mapping, now=now)
                drafts = (one for one in found if isinstance(one, Draft))
                staging.store(session, job, self._new(job, drafts), now=now)

    def _new(self, job: Job, drafts: Iterator[Draft]) -> Iterator[Draft]:
        digests = set[bytes]()
        while some := list(islice(drafts, _DRAFTS_AT_ONCE)):
            with UnitOfWork(self._engine) as session:
                digests |= staging.known_digests(
                    session, job.account_id, [one.digest for one in some]
                )
            for draft in some:
                self._beat()
                if draft.digest not in digests:
                    digests.add(draft.digest)
                    yield draft

    def _take_away(self, job: Job) -> None:
        self._clear(job)
        with UnitOfWork(self._engine) as session, session.begin():
            if not staging.stands(session, job):
                raise _Dropped
            staging.unstore(session, job, now=self._clock())

    def _clear(self, job: Job) -> None:
        while True:
            with UnitOfWork(self._engine) as session, session.begin():
                if not staging.unstage(session, job):
                    return
            self._beat()

    @contextmanager
    def _opened(self, job: Job) -> Iterator[Opened]:
        def load(number: int) -> bytes:
            with UnitOfWork(self._engine) as session:
                return staging.load_piece(session, job, number)

        file = io.BufferedReader(PieceFile(job.bytes, load), buffer_size=64 * 1024)
        with files.opened(file, max_unpacked_bytes=self._settings.import_unpacked_bytes) as opened:
            yield opened


def _in_batches(
    found: Iterator[Found], understood: Understood
) -> Iterator[list[FoundReading | Draft]]:
    """What is to be written, some at a time; what is left out is counted."""
    some: list[FoundReading | Draft] = []
    for number, one in enumerate(found, 1):
        if isinstance(one, LeftOut):
            understood.leave_out(one)
        else:
            some.append(one)
        if len(some) >= READINGS_AT_ONCE or number % _FOUND_AT_ONCE == 0:
            yield some
            some = []
    yield some


def _about_table(seen: Survey | None, mapping: Mapping | None) -> dict[str, object]:
    if seen is None or mapping is None:
        return {"questions": [], "columns": [], "table": None}
    return {
        "questions": seen.questions(mapping),
        "columns": [
            {"name": one.name, "filled": one.filled, "values": one.values} for one in seen.columns
        ],
        "table": {
            "encoding": seen.encoding,
            "delimiter": seen.delimiter,
            "header_line": seen.header_line,
            "rows": seen.rows,
        },
    }
