"""The usual frames in one statement: the same rows as ingest's, or none."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from cymba.accounts.rate_limiter import Bucket
from cymba.devices.quotas import BUCKETS, SESSIONS, Demand, Quota
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery, Outcome, Stored
from cymba.stimulation.ingest.fast_path import Appended, append
from tests.end_to_end.parts import PATIENCE_S
from tests.stimulation.ingest.conftest import AT, Uplink, samples, to_json

SIDS = [str(UUID(int=number)) for number in (1, 2)]
_names = itertools.count(1)


class Process:
    """What a bridge does with each batch: append it, and let ingest take what is left."""

    def __init__(self, line: Uplink, engine: Engine) -> None:
        self.line = line
        self.anchors = AnchorCache()
        self.quota: Quota | None = None
        self.held = engine.raw_connection()
        self.connection: Any = self.held.driver_connection
        self.connection.autocommit = True

    def append(
        self, *sent: dict[str, Any] | bytes, device_id: str = "device-1"
    ) -> Appended[Delivery]:
        return self.append_all(
            [
                Delivery(device_id, one if isinstance(one, bytes) else to_json(one), AT, True)
                for one in sent
            ]
        )

    def append_all(self, deliveries: list[Delivery]) -> Appended[Delivery]:
        with contextlib.ExitStack() as stack:
            quota = stack.enter_context(self.quota.reserve()) if self.quota else None
            return append(self.connection, deliveries, self.anchors, quota=quota)

    def take_in(self, *sent: dict[str, Any] | bytes, device_id: str = "device-1") -> None:
        ingested = self.line.send(*sent, device_id=device_id)
        self.anchors.remember(ingested.anchors)

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

    def resolved(self) -> list[str]:
        rows = self.line.rows("SELECT resolved::text FROM flash_store ORDER BY device_id, store")
        return [resolved for (resolved,) in rows]


def seqs_of(deliveries: list[Delivery]) -> list[int | None]:
    return [delivery.read.seq for delivery in deliveries]


@pytest.fixture
def process(line: Uplink, engine: Engine) -> Iterator[Process]:
    """Which has stored frame 1 of `device-1`."""
    process = Process(line, engine)
    process.take_in(samples(1))
    yield process
    process.held.invalidate()


def test_frames_that_follow_are_stored_and_acknowledged(process: Process) -> None:
    appended = process.append(samples(2), samples(3), samples(5, sid=SIDS[0]))
    assert seqs_of(appended.stored) == [2, 3, 5]
    assert appended.left == []
    ((device_id, ack),) = appended.acks
    assert (device_id, ack.store, ack.upto, ack.also) == ("device-1", 7, 3, [(5, 5)])
    assert process.seqs() == [1, 2, 3, 5]
    assert process.resolved() == ["{[1,4),[5,6)}"]
    assert process.line.rows("SELECT low_seq, high_seq FROM session_extent ORDER BY low_seq") == [
        (1, 3),
        (5, 5),
    ]
    assert process.append(samples(4)).left == []
    assert process.resolved() == ["{[1,6)}"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        pytest.param([samples(1)], [], id="a number that was seen before"),
        pytest.param([samples(2), samples(2)], [2], id="a number twice"),
        pytest.param([samples(2), b"{", samples(3)], [2], id="unreadable"),
        pytest.param([samples(2), samples(3, n=9), samples(4)], [2], id="impossible"),
        pytest.param([samples(1, store=8), samples(2)], [2], id="a new store"),
        pytest.param([samples(2, sent=30_000), samples(3)], [], id="news of the clock"),
        pytest.param([samples(2), samples(1), samples(3)], [], id="a number of the store is used"),
    ],
)
def test_whatever_else_is_left_to_ingest(
    process: Process, sent: list[Any], stored: list[int]
) -> None:
    appended = process.append(*sent)
    assert seqs_of(appended.stored) == stored
    assert len(appended.left) == len(sent) - len(stored)
    assert process.seqs() == [1, *stored]


def test_what_a_devices_frames_share_is_looked_up_once_however_they_are_mixed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.line.hold("device-3")
    process.take_in(samples(1), device_id="device-3")
    asked: list[int] = []
    may_be_news = process.anchors.may_be_news

    def watched(device_id: str, frames: list[Any], *args: Any, **named: Any) -> bool:
        asked.append(len(frames))
        return may_be_news(device_id, frames, *args, **named)

    monkeypatch.setattr(process.anchors, "may_be_news", watched)
    process.append_all(
        [
            Delivery(device_id, to_json(samples(seq)), AT + timedelta(seconds=seq), True)
            for seq in (2, 3, 4)
            for device_id in ("device-1", "device-3")
        ]
    )
    assert asked == [3, 3]
    rows = process.line.rows("SELECT seq, received_at FROM frame WHERE seq > 1 ORDER BY seq")
    assert rows == [(seq, AT + timedelta(seconds=seq)) for seq in (2, 3, 4) for _ in range(2)]


def test_of_a_mixed_batch_only_the_unusual_is_left(process: Process) -> None:
    """Five devices in one batch: one is new, one sends again, one cannot be read, one has news of
    its clock. The fifth does not wait for them."""
    process.line.hold("device-3")
    process.line.hold("device-4")
    process.line.hold("device-5")
    for device_id in ("device-3", "device-4"):
        process.take_in(samples(1), device_id=device_id)
    sent: list[tuple[str, Any]] = [
        ("device-5", samples(1)),
        ("device-3", samples(1)),
        ("device-1", samples(2)),
        ("device-4", samples(2, sent=30_000)),
        ("device-3", samples(2)),
        ("device-1", samples(3)),
        ("device-1", b"{"),
    ]
    deliveries = [
        Delivery(device_id, one if isinstance(one, bytes) else to_json(one), AT, True)
        for device_id, one in sent
    ]
    appended = process.append_all(deliveries)
    assert [one.device_id for one in appended.stored] == ["device-1"] * 2
    assert appended.left == [deliveries[at] for at in (0, 1, 3, 4, 6)]
    process.line.deliver(appended.left)
    assert process.resolved() == ["{[1,4)}", "{[1,3)}", "{[1,3)}", "{[1,2)}"]


def test_a_ledger_that_others_move_on_is_no_obstacle(process: Process) -> None:
    """Another slot of the bridge, or an upload over HTTP."""
    process.line.send(samples(2), samples(9))
    ((_, ack),) = process.append(samples(3)).acks
    assert (ack.upto, ack.also) == (3, [])
    assert process.append(samples(2), samples(4)).stored == []
    assert process.seqs() == [1, 2, 3, 9]
    assert process.append(samples(4), samples(8)).left == []
    assert process.resolved() == ["{[1,5),[8,10)}"]


def test_a_redelivery_with_holes_fills_them(process: Process) -> None:
    process.append(samples(3), samples(5), samples(8))
    appended = process.append(samples(8), samples(2), samples(4), samples(6))
    assert appended.stored == []  # the first was stored, so its device's frames are looked up
    assert [type(one).__name__ for one in process.line.deliver(appended.left).outcomes] == [
        "Duplicate", "Stored", "Stored", "Stored",
    ]  # fmt: skip
    ((_, ack),) = process.append(samples(7)).acks
    assert (ack.upto, ack.also) == (8, [])
    assert process.seqs() == list(range(1, 9))


def test_one_store_whose_numbers_are_used_keeps_no_other_out(process: Process) -> None:
    process.take_in(samples(1, store=8), samples(2, store=8))
    appended = process.append(samples(2), samples(2, store=8))
    assert [(one.read.store, one.read.seq) for one in appended.left] == [(8, 2)]
    assert process.line.rows("SELECT store, seq FROM frame ORDER BY 1, 2") == [
        (7, 1),
        (7, 2),
        (8, 1),
        (8, 2),
    ]


def test_many_holes_are_left_to_ingest(process: Process) -> None:
    """In one batch, or in the ledger: `ingest` counts the ranges of a store."""
    many = [samples(seq) for seq in range(3, 60, 2)]
    assert process.append(*many).stored == []
    process.take_in(*many)
    assert process.append(samples(99)).stored == []
    assert process.append(samples(2)).stored == []
    assert process.seqs() == [1, *range(3, 60, 2)]


def test_a_device_that_was_let_go_is_left_to_ingest(process: Process) -> None:
    process.line.session.execute(text("UPDATE device_tenure SET released_at = now()"))
    process.line.session.commit()
    assert process.append(samples(2)).stored == []
    assert process.seqs() == [1]


def test_an_erased_store_does_not_come_back(process: Process) -> None:
    for table in ("frame", "session_extent", "flash_store"):
        process.line.session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - of the above
    process.line.session.commit()
    assert process.append(samples(2)).stored == []
    assert process.seqs() == []


def test_what_the_database_refuses_is_left_to_ingest(process: Process) -> None:
    process.line.session.execute(text("ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)"))
    process.line.session.commit()
    process.allow(9)
    assert process.append(samples(2), samples(3), samples(4)).stored == []
    assert process.seqs() == [1]
    process.take_in(samples(2), samples(3), samples(4))
    assert process.seqs() == [1, 2, 4]
    assert process.append(samples(5)).left == []


def test_a_frame_too_many_is_left_to_ingest(process: Process) -> None:
    process.allow(1)
    appended = process.append(samples(2, sid=SIDS[0]), samples(3, sid=SIDS[1]))
    assert (seqs_of(appended.stored), seqs_of(appended.left)) == ([2], [3])
    assert process.seqs() == [1, 2]


def test_what_is_left_uses_up_no_quota(process: Process) -> None:
    process.allow(1)
    assert process.append(samples(1, sid=SIDS[0]), samples(2, sid=SIDS[0])).stored == []
    assert seqs_of(process.append(samples(3, sid=SIDS[1])).stored) == [3]


def test_no_answer_rests_on_memory_alone(process: Process) -> None:
    """The database was restored from a backup that knows less than this process stored: an ack
    must not tell its device to free what is not there."""
    process.append(samples(2), samples(3))
    process.line.session.execute(text("DELETE FROM frame WHERE seq > 1"))
    process.line.session.execute(text("UPDATE flash_store SET resolved = '{[1,2)}'"))
    process.line.session.commit()
    ((_, ack),) = process.append(samples(4)).acks
    assert (ack.upto, ack.also) == (1, [(4, 4)])


@pytest.mark.parametrize(
    ("theirs", "stored", "upto"),
    [
        pytest.param("{[1,3)}", [], None, id="the same number"),
        pytest.param("{[1,2),[3,4)}", [2], 3, id="another number"),
    ],
)
def test_it_waits_for_another_transaction_and_then_looks_again(
    process: Process, engine: Engine, theirs: str, stored: list[int], upto: int | None
) -> None:
    """A ledger that an upload over HTTP moves while a batch of MQTT is in flight."""
    with engine.connect() as other:
        other.execute(text(f"UPDATE flash_store SET resolved = '{theirs}'"))  # noqa: S608 - ours
        told: list[Appended[Delivery]] = []
        thread = threading.Thread(target=lambda: told.append(process.append(samples(2))))
        thread.start()
        while not _somebody_waits(engine):
            assert thread.is_alive()
        other.commit()
    thread.join(PATIENCE_S)
    assert seqs_of(told[0].stored) == stored
    assert [ack.upto for _, ack in told[0].acks] == ([] if upto is None else [upto])
    assert process.seqs() == [1, *stored]


def test_it_goes_on_when_another_transaction_has_changed_nothing(
    process: Process, engine: Engine
) -> None:
    with engine.connect() as other:
        other.execute(text("SELECT FROM flash_store FOR UPDATE"))
        told: list[Appended[Delivery]] = []
        thread = threading.Thread(target=lambda: told.append(process.append(samples(2))))
        thread.start()
        while not _somebody_waits(engine):
            assert thread.is_alive()
        other.rollback()
    thread.join(PATIENCE_S)
    assert seqs_of(told[0].stored) == [2]
    assert process.seqs() == [1, 2]


def _somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        )


class Sent(NamedTuple):
    seq: int
    store: int
    sid: str
    boot: int
    is_bad: bool

    def frame(self) -> dict[str, Any]:
        n = 0 if self.is_bad else 2
        return samples(self.seq, store=self.store, sid=self.sid, boot=self.boot, n=n)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Sent]]:
    """Batches: mostly what follows, with repeats among it."""
    frames = []
    last = {1: 0, 2: 0}
    for _ in range(draw(st.integers(1, 20))):
        store = draw(st.sampled_from((1, 2)))
        step = draw(st.sampled_from((1, 1, 1, 1, 2, 0)))
        last[store] = max(1, last[store] + step)
        sid, boot = draw(st.sampled_from(SIDS)), draw(st.sampled_from((1, 1, 2)))
        frames.append(Sent(last[store], store, sid, boot, draw(st.integers(0, 9)) == 0))
    cuts = sorted(draw(st.sets(st.integers(0, len(frames)), max_size=8)))
    return [frames[a:b] for a, b in itertools.pairwise([0, *cuts, len(frames)])]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has own devices
)
@given(histories(), st.integers(0))
def test_the_same_rows_and_acks_as_by_ingest(
    process: Process, engine: Engine, batches: list[list[Sent]], turns: int
) -> None:
    """Two slots take turns, as a bit of `turns` says."""
    appended, ingested = (process.line.hold(f"append-{next(_names):06}") for _ in range(2))
    with contextlib.ExitStack() as stack:
        second = Process(process.line, engine)
        stack.callback(second.held.invalidate)
        slots = [process.connection, second.connection]
        for number, batch in enumerate(batches):
            sent = [one.frame() for one in batch]
            by_ingest = process.line.send(*sent, device_id=ingested)
            process.connection = slots[turns >> number & 1]
            some = process.append(*sent, device_id=appended)
            rest = process.line.deliver(some.left) if some.left else None
            outcomes: dict[int, Outcome] = {
                id(one): Stored(one.read.store or 0, one.read.seq or 0) for one in some.stored
            }
            if rest is not None:
                outcomes |= zip(map(id, some.left), rest.outcomes, strict=True)
            assert len(outcomes) == len(sent)
            assert sorted(map(str, outcomes.values())) == sorted(map(str, by_ingest.outcomes))
            told = [ack for _, ack in (*some.acks, *(rest.acks if rest else ()))]
            for of_ingest in [ack for _, ack in by_ingest.acks]:
                of_store = [ack for ack in told if ack.store == of_ingest.store]
                assert max(ack.upto for ack in of_store) == of_ingest.upto
        process.connection = slots[0]
    for table, columns in {
        "frame": "store, seq, sid, boot, up_ms, digest, body",
        "flash_store": "store, resolved::text",
        "session_extent": "sid, store, low_seq, high_seq, low_boot, high_boot, dirty",
        "quarantine": "store, seq, code, digest, times_seen",
    }.items():
        query = f"SELECT {columns} FROM {table} WHERE device_id = '{{}}' ORDER BY {columns}"  # noqa: S608 - of the above
        assert process.line.rows(query.format(appended)) == process.line.rows(
            query.format(ingested)
        )
