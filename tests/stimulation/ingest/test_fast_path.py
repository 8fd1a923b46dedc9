"""The usual batch in one statement: the same rows as ingest's, or none."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from cymba.accounts.rate_limiter import Bucket
from cymba.devices.quotas import BUCKETS, SESSIONS, Demand, Quota
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery, Stored
from cymba.stimulation.ingest.fast_path import LedgerCache, append
from cymba.stimulation.ingest.ingest import Ingested
from cymba.stimulation.ingest.ledgers import AckLedger, StoreKey
from tests.end_to_end.parts import PATIENCE_S
from tests.stimulation.ingest.conftest import AT, Uplink, samples, to_json

SIDS = [str(UUID(int=number)) for number in (1, 2)]
_names = itertools.count(1)


class Process:
    """What a bridge does with each batch: append it, else take it in and remember."""

    def __init__(self, line: Uplink, engine: Engine) -> None:
        self.line = line
        self.ledgers = LedgerCache()
        self.anchors = AnchorCache()
        self.quota: Quota | None = None
        self.connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def append(self, *sent: dict[str, Any] | bytes, device_id: str = "device-1") -> Ingested | None:
        ingested = append(
            self.connection,
            [
                Delivery(device_id, one if isinstance(one, bytes) else to_json(one), AT, True)
                for one in sent
            ],
            self.ledgers,
            self.anchors,
            quota=self.quota,
        )
        if ingested is not None:
            self.ledgers.remember(ingested.ledgers)
        return ingested

    def take_in(self, *sent: dict[str, Any] | bytes, device_id: str = "device-1") -> None:
        ingested = self.line.send(*sent, device_id=device_id)
        self.anchors.remember(ingested.anchors)
        self.ledgers.remember(ingested.ledgers)

    def allow(self, sessions: int) -> None:
        """From now on so many new sessions, as the database says."""
        self.quota = Quota({**BUCKETS, SESSIONS: Bucket(sessions, leak_s=1e6)})
        demand = Demand()
        for number in range(9):
            demand.store(UUID(int=number), 1_000)
        with self.line.session.begin():
            self.quota.settle(self.line.session, {"device-1": demand}, AT)

    def seqs(self) -> list[int]:
        return [seq for (seq,) in self.line.rows("SELECT seq FROM frame ORDER BY seq")]


@pytest.fixture
def process(line: Uplink, engine: Engine) -> Iterator[Process]:
    """Which has stored frame 1 of `device-1`."""
    process = Process(line, engine)
    process.take_in(samples(1))
    yield process
    process.connection.close()


def test_frames_that_follow_are_stored_and_acknowledged(process: Process) -> None:
    ingested = process.append(samples(2), samples(3), samples(5, sid=SIDS[0]))
    assert ingested is not None
    assert ingested.outcomes == [Stored(7, 2), Stored(7, 3), Stored(7, 5)]
    ((device_id, ack),) = ingested.acks
    assert (device_id, ack.store, ack.upto, ack.also) == ("device-1", 7, 3, [(5, 5)])
    assert process.seqs() == [1, 2, 3, 5]
    assert process.line.rows("SELECT resolved::text FROM flash_store") == [("{[1,4),[5,6)}",)]
    assert process.line.rows("SELECT low_seq, high_seq FROM session_extent ORDER BY low_seq") == [
        (1, 3),
        (5, 5),
    ]
    assert process.append(samples(4)) is not None
    assert process.line.rows("SELECT resolved::text FROM flash_store") == [("{[1,6)}",)]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([samples(1)], id="a number that was seen before"),
        pytest.param([samples(2), samples(2)], id="a number twice"),
        pytest.param([samples(2), b"{"], id="unreadable"),
        pytest.param([samples(2), samples(3, n=9)], id="impossible"),
        pytest.param([samples(2), samples(1, store=8)], id="a new store"),
        pytest.param([samples(2, sent=30_000)], id="news of the clock"),
    ],
)
def test_whatever_else_is_left_to_ingest(process: Process, sent: list[Any]) -> None:
    assert process.append(*sent) is None
    assert process.seqs() == [1]
    assert process.append(samples(2)) is not None  # it has not forgotten


def test_a_ledger_that_another_process_moved_on_is_read_again(process: Process) -> None:
    process.line.send(samples(2))
    assert process.append(samples(3)) is None
    assert process.seqs() == [1, 2]
    assert process.append(samples(3)) is None  # forgotten: not even tried
    process.take_in(samples(3))
    assert process.append(samples(4)) is not None
    assert process.seqs() == [1, 2, 3, 4]


def test_one_ledger_that_has_moved_keeps_the_whole_batch_out(process: Process) -> None:
    process.take_in(samples(1, store=8))
    process.line.send(samples(2, store=8))
    assert process.append(samples(2), samples(3, store=8)) is None
    assert process.line.rows("SELECT store, seq FROM frame ORDER BY 1, 2") == [
        (7, 1),
        (8, 1),
        (8, 2),
    ]
    assert process.line.rows("SELECT max(high_seq) FROM session_extent WHERE store = 7") == [(1,)]


def test_a_device_that_was_let_go_is_left_to_ingest(process: Process) -> None:
    process.line.session.execute(text("UPDATE device_tenure SET released_at = now()"))
    process.line.session.commit()
    assert process.append(samples(2)) is None
    assert process.seqs() == [1]


def test_an_erased_store_does_not_come_back(process: Process) -> None:
    for table in ("frame", "session_extent", "flash_store"):
        process.line.session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - of the above
    process.line.session.commit()
    assert process.append(samples(2)) is None
    assert process.seqs() == []


def test_what_the_database_refuses_is_left_to_ingest(process: Process) -> None:
    process.line.session.execute(text("ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)"))
    process.line.session.commit()
    assert process.append(samples(2), samples(3), samples(4)) is None
    assert process.seqs() == [1]
    process.take_in(samples(2), samples(3), samples(4))
    assert process.seqs() == [1, 2, 4]
    assert process.append(samples(5)) is not None


def test_a_frame_too_many_is_left_to_ingest(process: Process) -> None:
    process.allow(1)
    assert process.append(samples(2, sid=SIDS[0]), samples(3, sid=SIDS[1])) is None
    assert process.seqs() == [1]
    assert process.append(samples(2, sid=SIDS[0])) is not None
    assert process.seqs() == [1, 2]


def test_no_answer_rests_on_memory_alone(process: Process) -> None:
    """The database was restored from a backup that knows less than this process remembers: a
    refused frame's answer must not tell its device to free what is not there."""
    process.take_in(samples(2), samples(3))
    process.line.session.execute(text("DELETE FROM frame WHERE seq > 1"))
    process.line.session.execute(text("UPDATE flash_store SET resolved = '{[1,2)}'"))
    process.line.session.commit()
    process.allow(0)
    assert process.append(samples(4)) is None
    ingested = process.line.send(samples(4))
    assert [ack.upto for _, ack in ingested.acks] == [1]


def test_it_waits_for_another_transaction_and_then_looks_again(
    process: Process, engine: Engine
) -> None:
    """The same number from two ways at once, say over MQTT and over HTTP: one of them stores it."""
    with engine.connect() as other:
        other.execute(text("UPDATE flash_store SET resolved = '{[1,3)}'"))
        told: list[Ingested | None] = []
        thread = threading.Thread(target=lambda: told.append(process.append(samples(2))))
        thread.start()
        while not _somebody_waits(engine):
            assert thread.is_alive()
        other.commit()
    thread.join(PATIENCE_S)
    assert told == [None]
    assert process.seqs() == [1]


def test_it_goes_on_when_another_transaction_has_changed_nothing(
    process: Process, engine: Engine
) -> None:
    with engine.connect() as other:
        other.execute(text("SELECT FROM flash_store FOR UPDATE"))
        told: list[Ingested | None] = []
        thread = threading.Thread(target=lambda: told.append(process.append(samples(2))))
        thread.start()
        while not _somebody_waits(engine):
            assert thread.is_alive()
        other.rollback()
    thread.join(PATIENCE_S)
    assert told[0] is not None
    assert process.seqs() == [1, 2]


def _somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        )


def test_memory_keeps_few_stores_and_no_ledger_full_of_holes() -> None:
    class Small(LedgerCache):
        MOST_STORES = 2

    memory = Small()
    one, two, three = (StoreKey("device-1", store) for store in (1, 2, 3))
    memory.remember({one: AckLedger("{[1,5)}", True)})
    memory.remember({two: AckLedger("{[1,6)}", True)})
    memory.remember({one: AckLedger("{[1,7)}", True)})
    memory.remember({three: AckLedger("{}", True)})
    assert memory.recall([two]) is None
    assert memory.recall([one, three]) == {one: "{[1,7)}", three: "{}"}
    holes = "{" + ",".join(f"[{n},{n + 1})" for n in range(1, 200, 2)) + "}"
    memory.remember({one: AckLedger(holes, True), three: AckLedger("{[1,2)}", False)})
    assert memory.recall([one]) is None
    assert memory.recall([three]) is None


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, int, bool]]]:
    """Batches of (number, store, is it bad): mostly what follows, with repeats among it."""
    frames = []
    last = {1: 0, 2: 0}
    for _ in range(draw(st.integers(1, 20))):
        store = draw(st.sampled_from((1, 2)))
        step = draw(st.sampled_from((1, 1, 1, 1, 2, 0)))
        last[store] = max(1, last[store] + step)
        frames.append((last[store], store, draw(st.integers(0, 9)) == 0))
    cuts = sorted(draw(st.sets(st.integers(0, len(frames)), max_size=8)))
    return [frames[a:b] for a, b in itertools.pairwise([0, *cuts, len(frames)])]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has own devices
)
@given(histories())
def test_the_same_rows_and_acks_as_by_ingest(
    process: Process, batches: list[list[tuple[int, int, bool]]]
) -> None:
    appended, ingested = (process.line.hold(f"append-{next(_names):06}") for _ in range(2))

    for batch in batches:
        sent = [samples(seq, store=store, n=0 if is_bad else 2) for seq, store, is_bad in batch]
        by_ingest = process.line.send(*sent, device_id=ingested)
        by_either = process.append(*sent, device_id=appended)
        if by_either is None:
            by_either = process.line.send(*sent, device_id=appended)
            process.ledgers.remember(by_either.ledgers)
        assert by_either.outcomes == by_ingest.outcomes
        assert [ack for _, ack in by_either.acks] == [ack for _, ack in by_ingest.acks]
    for table, columns in {
        "frame": "store, seq, sid, digest, body",
        "flash_store": "store, resolved::text",
        "session_extent": "sid, store, low_seq, high_seq, dirty",
        "quarantine": "store, seq, code, digest, times_seen",
    }.items():
        query = f"SELECT {columns} FROM {table} WHERE device_id = '{{}}' ORDER BY {columns}"  # noqa: S608 - of the above
        assert process.line.rows(query.format(appended)) == process.line.rows(
            query.format(ingested)
        )
