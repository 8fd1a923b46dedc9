"""The writer against a real database, with a connection that only takes notes."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, text

from cymba.database import BoundedConnection, utc_now
from cymba.devices.provisioning import Credentials
from cymba.devices.quotas import Quota
from cymba.settings import FIRST_CELL
from cymba.stimulation.ingest import fast_path
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.wire.messages import to_json
from mqtt_bridge import transaction, writer
from mqtt_bridge.acks import AckSender
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.delivery_queue import DeliveryQueue, IncomingMessage
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.topics import Subject
from mqtt_bridge.transaction import Written
from mqtt_bridge.writer import Writer
from tests.end_to_end.devices import session_frames
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.mqtt_bridge.around_fast_path import around_fast_path

StoredSeqs = Callable[[str], list[int]]


@dataclass
class Notes:
    """A connection that records at each ack what the database held."""

    look: Callable[[], int]
    answers: list[tuple[bytes, bytes]] = field(default_factory=list)
    acked: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def answer(
        self, messages: Iterable[tuple[bytes, bytes]], deliveries: Iterable[tuple[int, int]]
    ) -> int:
        self.answers += messages
        self.seen.append(self.look())
        self.acked += [packet_id for _, packet_id in deliveries]
        return len(self.acked)


@dataclass
class WriterBench:
    queue: DeliveryQueue
    writer: Writer
    ack_sender: AckSender
    notes: Notes
    metrics: BridgeMetrics
    charged: list[tuple[str, int]]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"cymba_bridge_{name}", labels) or 0


@pytest.fixture
def bench(engine: Engine) -> Iterator[WriterBench]:
    def count() -> int:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM frame")) or 0

    queue, notes, metrics = DeliveryQueue(), Notes(count), BridgeMetrics()
    charged: list[tuple[str, int]] = []

    def charge(device_id: str, size: int) -> None:
        charged.append((device_id, size))

    ack_sender = AckSender(notes, metrics, charge)  # type: ignore[arg-type] # what it uses
    ack_sender.start()
    made = Writer(queue, engine, ack_sender, metrics, 1_000, contacts=Contacts(engine, FIRST_CELL))
    yield WriterBench(queue, made, ack_sender, notes, metrics, charged)
    queue.close()
    made.finish(PATIENCE_S)
    ack_sender.finish(PATIENCE_S)


_numbers = itertools.count(1)


def deliveries(device_id: str, payloads: Sequence[bytes]) -> list[IncomingMessage]:
    return [
        IncomingMessage(
            device_id, payload, utc_now(), settled=True,
            number=(number := next(_numbers)), connection=1, packet_id=number,
            subject=Subject.FRAME, retained=False,
        )
        for payload in payloads
    ]  # fmt: skip


def fill(bench: WriterBench, batch: Sequence[IncomingMessage]) -> None:
    bench.queue.put(batch)


def test_nobody_may_forget_before_it_is_committed(
    bench: WriterBench, devices: list[Credentials], stored_seqs: StoredSeqs
) -> None:
    batch = deliveries(devices[0].device_id, [to_json(one) for one in session_frames(5, 50, 1)])
    fill(bench, batch)
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 50, what="acked")
    assert bench.notes.acked == [delivery.packet_id for delivery in batch]
    assert bench.notes.seen == [50]
    assert [topic for topic, _ in bench.notes.answers] == [
        f"cymba/v1/{devices[0].device_id}/down/ack".encode()
    ]
    assert stored_seqs(devices[0].device_id) == list(range(1, 51))


def test_a_poisonous_delivery_costs_only_itself(
    bench: WriterBench,
    devices: list[Credentials],
    stored_seqs: StoredSeqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that no check of ours foresaw, in the middle of a batch."""
    payloads = [to_json(one) for one in session_frames(5, 40, 1)]

    def fragile(work: Callable[..., Any]) -> Callable[..., Any]:
        def worked(session: object, some: Sequence[Delivery], *more: Any, **options: Any) -> Any:
            if any(one.payload == payloads[17] for one in some):
                raise ZeroDivisionError
            return work(session, some, *more, **options)

        return worked

    monkeypatch.setattr(transaction, "ingest", fragile(ingest))
    monkeypatch.setattr(fast_path, "append", fragile(fast_path.append))
    fill(bench, deliveries(devices[0].device_id, payloads))
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 40, what="acked")
    assert stored_seqs(devices[0].device_id) == [seq for seq in range(1, 41) if seq != 18]
    assert bench.metric("deliveries_failed_total") == 1
    assert bench.metric("frames_stored_total") == 39
    assert bench.metric("frames_refused_total", code="server") == 1
    assert bench.writer.problem() is None


def test_bad_and_foreign_frames_are_counted_by_their_codes(
    bench: WriterBench, devices: list[Credentials]
) -> None:
    good = to_json(session_frames(5, 3, 1)[0])
    fill(bench, deliveries(devices[0].device_id, [b"{", good, good]))
    fill(bench, deliveries("nobodys-device", [good]))
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 4, what="acked")
    assert bench.metric("frames_stored_total") == 1
    assert bench.metric("frames_duplicate_total") == 1
    assert bench.metric("frames_quarantined_total", code="schema") == 1
    assert bench.metric("frames_refused_total", code="not-claimed") == 1
    assert dict(bench.charged) == {devices[0].device_id: 1, "nobodys-device": len(good)}


@pytest.fixture
def outage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Takes the database away, and gives it back."""
    down, connect = False, BoundedConnection.connect

    def try_to_connect(*given: Any, **named: Any) -> BoundedConnection:
        if down:
            raise psycopg.OperationalError("connection refused")
        return connect(*given, **named)

    monkeypatch.setattr(BoundedConnection, "connect", try_to_connect)

    def switch(off: bool) -> None:
        nonlocal down
        if off:
            with engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
            engine.dispose()
        down = off

    return switch


def test_while_the_database_is_down_nothing_is_acked(
    bench: WriterBench,
    devices: list[Credentials],
    outage: Callable[[bool], None],
    stored_seqs: StoredSeqs,
) -> None:
    outage(True)
    fill(bench, deliveries(devices[0].device_id, [to_json(f) for f in session_frames(5, 20, 1)]))
    bench.writer.start()
    wait_until(lambda: bench.metric("database_failures_total") >= 3, what="tried")
    assert bench.writer.retrying
    assert bench.notes.acked == []
    assert bench.writer.problem() is None
    outage(False)
    wait_until(lambda: len(bench.notes.acked) == 20, what="acked")
    assert not bench.writer.retrying
    assert stored_seqs(devices[0].device_id) == list(range(1, 21))


def test_stopped_while_the_database_is_down_it_leaves_without_acking(
    bench: WriterBench, devices: list[Credentials], outage: Callable[[bool], None]
) -> None:
    outage(True)
    fill(bench, deliveries(devices[0].device_id, [to_json(session_frames(5, 3, 1)[0])]))
    bench.writer.start()
    wait_until(lambda: bench.metric("database_failures_total") >= 1, what="tried")
    bench.queue.close()
    assert not bench.writer.finish(0.1)
    assert bench.notes.acked == []


def test_a_lost_line_is_no_fault_of_the_batch(
    bench: WriterBench, devices: list[Credentials], engine: Engine, stored_seqs: StoredSeqs
) -> None:
    """The server cuts the connection before COMMIT: the whole batch is written again."""
    cuts = iter([True, True, False])

    def cut(connection: Any) -> None:
        if next(cuts, False):
            with engine.connect() as other:
                pid = connection.connection.driver_connection.info.backend_pid
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
                other.rollback()

    event.listen(engine, "commit", cut)
    fill(bench, deliveries(devices[0].device_id, [to_json(f) for f in session_frames(5, 20, 1)]))
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 20, what="acked")
    event.remove(engine, "commit", cut)
    assert stored_seqs(devices[0].device_id) == list(range(1, 21))
    assert bench.metric("database_failures_total") == 2
    assert bench.metric("deliveries_failed_total") == 0


def test_frames_that_follow_take_one_statement(
    bench: WriterBench,
    devices: list[Credentials],
    engine: Engine,
    stored_seqs: StoredSeqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2].strip()))
    around_fast_path(monkeypatch, before=lambda sql: statements.append(sql.strip()))
    frames = deliveries(devices[0].device_id, [to_json(f) for f in session_frames(5, 20, 1)])
    bench.writer.start()
    for at in range(20):
        fill(bench, frames[at : at + 1])
        wait_until(lambda n=at + 1: len(bench.notes.acked) == n, what="acked")  # type: ignore[misc]
        if at == 9:
            statements.clear()
    assert stored_seqs(devices[0].device_id) == list(range(1, 21))
    # Of the bridge: the others are this test's.
    ours = [one for one in statements if one.startswith("WITH")]
    assert len(ours) == 10
    assert not [one for one in statements if "FOR UPDATE" in one and one not in ours]
    assert bench.notes.seen[-1] == 20


def test_one_device_that_sends_again_holds_up_no_other(
    bench: WriterBench, devices: list[Credentials], stored_seqs: StoredSeqs
) -> None:
    first, second = (one.device_id for one in devices[:2])
    payloads = [to_json(f) for f in session_frames(5, 20, 1)]
    fill(bench, [*deliveries(first, payloads[:2]), *deliveries(second, payloads[:2])])
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 4, what="acked")
    known = bench.metric("frames_fast_total")
    mixed = [*deliveries(first, [payloads[1], payloads[2]]), *deliveries(second, payloads[2:5])]
    stranger = deliveries("nobodys-device", payloads[:1])
    fill(bench, [*mixed, *stranger])
    wait_until(lambda: len(bench.notes.acked) == 10, what="acked")
    assert sorted(bench.notes.acked[4:]) == [one.packet_id for one in (*mixed, *stranger)]
    assert stored_seqs(first) == [1, 2, 3]
    assert stored_seqs(second) == [1, 2, 3, 4, 5]
    assert bench.metric("frames_fast_total") >= known + 3
    assert bench.metric("frames_duplicate_total") == 1
    assert bench.metric("frames_refused_total", code="not-claimed") == 1


def test_frames_whose_commit_was_not_heard_of_are_found_to_be_stored(
    bench: WriterBench,
    devices: list[Credentials],
    stored_seqs: StoredSeqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line breaks after the statement has committed itself, before its answer is here."""
    lost: list[str] = []

    def lose(statement: str) -> None:
        if not lost:
            lost.append(statement)
            raise psycopg.OperationalError("the server hung up")

    around_fast_path(monkeypatch, after=lose)
    frames = deliveries(devices[0].device_id, [to_json(f) for f in session_frames(5, 20, 1)])
    bench.writer.start()
    fill(bench, frames[:10])
    wait_until(lambda: len(bench.notes.acked) == 10, what="acked")
    fill(bench, frames[10:])
    wait_until(lambda: len(bench.notes.acked) == 20, what="acked")
    assert lost
    assert stored_seqs(devices[0].device_id) == list(range(1, 21))
    assert bench.metric("frames_stored_total") + bench.metric("frames_duplicate_total") == 20
    assert bench.metric("frames_duplicate_total") > 0


@pytest.mark.parametrize("way", ["fast", "slow"])
def test_what_was_not_stored_takes_nothing_of_the_allowance(
    bench: WriterBench,
    devices: list[Credentials],
    engine: Engine,
    stored_seqs: StoredSeqs,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """A full disk, say: the database answers and stores nothing, for far longer than here."""
    frames = deliveries(devices[0].device_id, [to_json(f) for f in session_frames(5, 4, 1)])
    sizes = [one.read.cost.size for one in frames]
    cache = bench.writer._cache
    cache.quota = Quota(session_bytes=sum(sizes))
    if way == "slow":
        monkeypatch.setattr(writer, "append", lambda _line, batch, _cache: ([], Written(), batch))
    left = 3

    def fail(statement: str) -> None:
        nonlocal left
        if "INTO frame" in statement and len(bench.notes.acked) == 2 and left:
            left -= 1
            raise psycopg.OperationalError("No space left on device")

    def fail_slow(*told: Any) -> None:
        fail(told[2])

    bench.writer.start()
    for frame in frames[:2]:  # the second is the first that can follow
        fill(bench, [frame])
        wait_until(lambda n=frame.number: n in bench.notes.acked, what="acked")  # type: ignore[misc]
    event.listen(engine, "before_cursor_execute", fail_slow)
    around_fast_path(monkeypatch, before=fail)
    fill(bench, frames[2:])
    wait_until(lambda: len(bench.notes.acked) == 4, what="acked")
    event.remove(engine, "before_cursor_execute", fail_slow)
    assert left == 0
    assert stored_seqs(devices[0].device_id) == [1, 2, 3, 4]
    assert bench.metric("frames_refused_total", code="rate") == 0


def test_the_end_of_the_writer_is_noticed(
    bench: WriterBench, devices: list[Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(bench.ack_sender, "send", broken)
    fill(bench, deliveries(devices[0].device_id, [to_json(session_frames(5, 3, 1)[0])]))
    bench.writer.start()
    wait_until(lambda: bench.writer.problem() is not None, what="noticed")
    assert "a fault of ours" in str(bench.writer.problem())
    assert bench.notes.acked == []


def test_the_end_of_the_answers_is_noticed(
    bench: WriterBench, devices: list[Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(bench.notes, "answer", broken)
    fill(bench, deliveries(devices[0].device_id, [to_json(session_frames(5, 3, 1)[0])]))
    bench.writer.start()
    wait_until(lambda: bench.ack_sender.problem() is not None, what="noticed")
    assert "a fault of ours" in str(bench.ack_sender.problem())
    assert not bench.ack_sender.finish(PATIENCE_S)
    assert bench.notes.acked == []
