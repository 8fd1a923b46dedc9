import threading
import time

from cymba.database import utc_now
from cymba.settings import Settings
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES
from mqtt_bridge.delivery_queue import BATCH_BYTES, DeliveryQueue, IncomingMessage
from mqtt_bridge.topics import Subject
from tests.end_to_end.parts import PATIENCE_S


def delivery(number: int, payload: bytes = b"") -> IncomingMessage:
    return IncomingMessage(
        "device-0001", payload, utc_now(), settled=True, number=number, connection=1,
        packet_id=number, subject=Subject.FRAME, retained=False,
    )  # fmt: skip


def test_takes_what_is_there_in_order_and_no_more_than_asked() -> None:
    queue = DeliveryQueue()
    sent = [delivery(number) for number in range(5)]
    assert all(queue.put([one]) for one in sent)
    assert queue.take(3) == sent[:3]
    assert queue.take(3) == sent[3:]
    assert len(queue) == 0


def test_a_run_may_be_taken_in_parts_and_several_at_once() -> None:
    queue = DeliveryQueue()
    sent = [delivery(number) for number in range(10)]
    queue.put(sent[:5])
    queue.put(sent[5:])
    assert [queue.take(limit) for limit in (2, 3, 4, 9)] == [
        sent[:2], sent[2:5], sent[5:9], sent[9:],
    ]  # fmt: skip
    queue.put(sent[:5])
    queue.put(sent[5:])
    assert len(queue) == 10
    assert queue.take(7) == sent[:7]
    assert len(queue) == 3
    queue.close()
    assert queue.take(7) == sent[7:]
    assert queue.take(7) == []


def test_a_batch_of_the_largest_frames_is_bounded_by_its_bytes() -> None:
    queue = DeliveryQueue()
    limit = Settings().bridge_batch
    payload = b"x" * MAX_PAYLOAD_BYTES
    sent = [delivery(number, payload) for number in range(limit)]
    run = 16  # as many as the network thread reads at once
    for at in range(0, limit, run):
        queue.put(sent[at : at + run])
    taken: list[IncomingMessage] = []
    while len(queue):
        batch = queue.take(limit)
        assert len(batch) * len(payload) < BATCH_BYTES + run * len(payload)
        taken += batch
    assert taken == sent


def test_waits_for_the_first_delivery_only() -> None:
    queue = DeliveryQueue()
    taken: list[list[IncomingMessage]] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take(10)))
    taker.start()
    queue.put([delivery(1)])
    taker.join(PATIENCE_S)
    assert [len(batch) for batch in taken] == [1]


def test_a_full_inbox_holds_its_filler_until_a_tenth_is_free() -> None:
    queue = DeliveryQueue(limit=10)
    done = threading.Event()

    def fill() -> None:
        for number in range(12):
            queue.put([delivery(number)])
        done.set()

    filler = threading.Thread(target=fill)
    filler.start()
    while not queue.full:
        time.sleep(0.001)
    assert len(queue) == 10
    assert [one.number for one in queue.take(1)] == [0]
    assert queue.full
    assert [one.number for one in queue.take(1)] == [1]
    filler.join(PATIENCE_S)
    assert done.is_set()
    assert not queue.full
    assert [one.number for one in queue.take(100)] == list(range(2, 12))


def test_closed_it_gives_what_is_left_and_then_its_end() -> None:
    queue = DeliveryQueue()
    sent = [delivery(number) for number in range(3)]
    for one in sent:
        queue.put([one])
    queue.close()
    assert not queue.put([delivery(9)])
    assert queue.take(2) == sent[:2]
    assert queue.take(2) == sent[2:]
    assert queue.take(2) == []
    assert queue.take(2) == []


def test_closing_lets_go_of_a_filler_that_waits() -> None:
    queue = DeliveryQueue(limit=1)
    queue.put([delivery(1)])
    answers: list[bool] = []
    filler = threading.Thread(target=lambda: answers.append(queue.put([delivery(2)])))
    filler.start()
    while not queue.full:
        time.sleep(0.001)
    queue.close()
    filler.join(PATIENCE_S)
    assert answers == [False]
