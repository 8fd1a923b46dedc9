"""The outcome of a delivery, and the ack that its device gets."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range

from cymba.database import UnitOfWork
from cymba.stimulation.ingest import decide
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Quarantined, Refused, Stored
from cymba.stimulation.ingest.ingest import ack_for_presence, ingest
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY, MAX_RANGES
from cymba.stimulation.ingest.statements import FrameKey, held_contents
from cymba.stimulation.tables import Recording
from cymba.stimulation.wire.frames import Packed, decode, pack
from cymba.stimulation.wire.messages import Ack
from cymba.stimulation.wire.received import ReceivedFrame, receive
from cymba.stimulation.wire.unreadable import Unreadable
from tests.end_to_end.parts import PATIENCE_S

Frame = Callable[..., dict[str, Any]]
Payload = Callable[[dict[str, Any]], bytes]
SID = UUID("6f0c6f0c-0000-4000-8000-000000000001")


def test_a_frame_is_stored_and_acknowledged(line: Any, frame: Frame) -> None:
    ingested = line.send(frame(1), frame(2))
    assert ingested.outcomes == [Stored(7, 1), Stored(7, 2)]
    assert ingested.acks == [("device-1", Ack(store=7, upto=2))]
    rows = line.rows("SELECT device_id, store, seq, boot, sid, kind, up_ms FROM frame ORDER BY seq")
    assert rows == [("device-1", 7, 1, 3, SID, 2, 10_000), ("device-1", 7, 2, 3, SID, 2, 20_000)]
    extents = line.rows(
        "SELECT sid, low_seq, high_seq, low_boot, high_boot, dirty FROM session_extent"
    )
    assert extents == [(SID, 1, 2, 3, 3, True)]


def test_an_ack_tells_of_holes(line: Any, frame: Frame) -> None:
    ((_, ack),) = line.send(*(frame(seq) for seq in (1, 2, 5, 6, 9))).acks
    assert (ack.upto, ack.also) == (2, [(5, 6), (9, 9)])
    ((_, ack),) = line.send(frame(4)).acks
    assert (ack.upto, ack.also) == (2, [(4, 6)])  # only the ranges of what it answers
    ((_, ack),) = line.send(frame(3)).acks
    assert (ack.upto, ack.also) == (6, [])
    assert ack_for_presence(line.session, "device-1", 7) == Ack(store=7, upto=6, also=[(9, 9)])
    assert ack_for_presence(line.session, "device-1", 8) == Ack(store=8, upto=0)


def test_a_resend_is_a_duplicate_whatever_its_sent(line: Any, frame: Frame) -> None:
    line.send(frame(1))
    ingested = line.send(frame(1, sent=50_000), frame(1, sent=60_000))
    assert ingested.outcomes == [Duplicate(7, 1), Duplicate(7, 1)]
    assert ingested.acks == [("device-1", Ack(store=7, upto=1))]
    assert line.rows("SELECT count(*) FROM frame") == [(1,)]


def test_a_duplicate_within_one_batch(line: Any, frame: Frame) -> None:
    assert line.send(frame(1), frame(1)).outcomes == [Stored(7, 1), Duplicate(7, 1)]


@pytest.mark.parametrize("together", [True, False])
def test_other_content_under_a_used_number_is_quarantined(
    line: Any, frame: Frame, together: bool
) -> None:
    other = frame(1, up=11_000)
    if together:
        _, outcome = line.send(frame(1), other).outcomes
    else:
        line.send(frame(1))
        ingested = line.send(other)
        (outcome,) = ingested.outcomes
        ((_, ack),) = ingested.acks
        assert ack.upto == 1
        assert [(r.seq, r.code, r.retry) for r in ack.rejected] == [(1, "key-reuse", False)]
    assert isinstance(outcome, Quarantined)
    assert outcome.code == "key-reuse"
    assert line.rows("SELECT up_ms FROM frame") == [(10_000,)]
    assert line.send(other).outcomes == [outcome]
    assert line.rows("SELECT times_seen FROM quarantine") == [(2,)]


def test_a_sealed_frame_is_still_known(line: Any, frame: Frame, payload: Payload) -> None:
    sent = [frame(seq) for seq in (1, 2, 5)]
    line.send(*sent)
    digests = [_packed(payload(one)).digest[:8] for one in sent]
    line.session.add(
        Recording(
            device_id="device-1",
            sid=SID,
            store=7,
            frame_count=3,
            sample_count=6,
            seqs=MultiRange([Range(1, 3), Range(5, 6)]),
            digests=b"".join(digests),
            body=b"",
        )
    )
    line.session.execute(text("DELETE FROM frame"))
    line.session.commit()
    assert line.send(*sent).outcomes == [Duplicate(7, seq) for seq in (1, 2, 5)]
    reused = line.send(frame(2, up=5), frame(5, sid=str(uuid4())), frame(3)).outcomes
    assert [type(outcome) for outcome in reused] == [Quarantined, Quarantined, Stored]
    assert line.rows("SELECT seq, code FROM quarantine ORDER BY seq") == [
        (2, "key-reuse"),
        (5, "key-reuse"),
    ]


def test_a_number_that_is_named_with_another_session_has_nobody_elses_recordings_read(
    line: Any,
) -> None:
    """Else a device that sends its used numbers with ever new sessions would hold up all others."""
    for statement in (
        """
        INSERT INTO device (id, serial, model)
        SELECT 'others-' || n, 'others-' || n, 'ear_cymba' FROM generate_series(1, 300) AS n
        """,
        """
        INSERT INTO recording (device_id, sid, store, frame_count, sample_count, seqs, digests,
                               body)
        SELECT d.id, gen_random_uuid(), 7, 1, 1, '{[1,2)}', '12345678', ''
        FROM device AS d CROSS JOIN generate_series(1, 10)
        """,
        "ANALYZE recording",
    ):
        line.session.execute(text(statement))
    line.session.commit()
    key = FrameKey("device-1", 7, 1)
    for _ in range(8):  # after five of them PostgreSQL may plan for any values
        assert held_contents(line.session, {key: uuid4()}) == {key: b"12345678"}
    read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'recording'"
    assert line.session.scalar(text(read)) == 0


def test_a_deleted_session_stays_deleted(line: Any, frame: Frame) -> None:
    line.send(frame(1), frame(1, up=5))  # the second is quarantined as key-reuse
    line.session.execute(text("DELETE FROM frame"))
    line.session.commit()
    assert line.send(frame(1), frame(1, up=6)).outcomes == [Duplicate(7, 1), Duplicate(7, 1)]
    assert line.rows("SELECT count(*) FROM frame") == [(0,)]


@pytest.mark.parametrize("bad_first", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_good_frame_is_stored_though_a_bad_one_had_its_number(
    line: Any, frame: Frame, bad_first: bool, together: bool
) -> None:
    good, bad = frame(1), frame(1, c={"heart_rate_bpm": [999, 72]})
    order = [bad, good] if bad_first else [good, bad]
    if together:
        line.send(*order)
    else:
        for one in order:
            line.send(one)
    assert line.rows("SELECT seq FROM frame") == [(1,)]
    assert line.rows("SELECT seq, code FROM quarantine") == [(1, "impossible-value")]


def test_an_unreadable_frame_is_resolved_by_its_number(line: Any, frame: Frame) -> None:
    ingested = line.send(frame(1), frame(2, n="two"), frame(3))
    assert [type(outcome) for outcome in ingested.outcomes] == [Stored, Quarantined, Stored]
    ((_, ack),) = ingested.acks
    assert ack.upto == 3
    (rejection,) = ack.rejected
    assert (rejection.seq, rejection.code, rejection.retry) == (2, "schema", False)
    assert rejection.detail == "n: expected int, got str"


def test_a_payload_without_a_number_is_answered_by_its_hash(line: Any) -> None:
    ingested = line.send(b"\x00\x01")
    assert ingested.outcomes[0].code == "schema"
    ((device_id, ack),) = ingested.acks
    assert (device_id, ack.store, ack.upto) == ("device-1", None, 0)
    # head of `printf '\0\1' | sha256sum`
    assert ack.rejected[0].payload == "b413f47d13ee2fe6"
    assert line.rows("SELECT store, seq, payload FROM quarantine") == [(None, None, b"\x00\x01")]


@pytest.mark.parametrize("device_id", ["device-2", "device-unknown"])
def test_nothing_is_written_for_a_device_that_nobody_holds(
    line: Any, frame: Frame, device_id: str
) -> None:
    ingested = line.send(frame(1), b"rubbish", frame(2, v=2), device_id=device_id)
    assert [outcome.code for outcome in ingested.outcomes] == ["not-claimed"] * 3
    for _, ack in ingested.acks:
        assert ack.upto == 0
        assert all(rejection.retry for rejection in ack.rejected)
    tables = "frame flash_store session_extent quarantine clock_anchor"
    for table in tables.split():
        assert line.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - one of the above


def test_a_released_device_is_refused_and_its_numbers_wait(line: Any, frame: Frame) -> None:
    line.send(frame(1))
    line.session.execute(text("UPDATE device_tenure SET released_at = claimed_at"))
    line.session.commit()
    ingested = line.send(frame(1), frame(2))
    assert [outcome.code for outcome in ingested.outcomes] == ["not-claimed"] * 2
    ((_, ack),) = ingested.acks
    assert ack.upto == 1
    line.session.execute(text("UPDATE device_tenure SET released_at = NULL"))
    line.session.commit()
    assert line.send(frame(1), frame(2)).outcomes == [Duplicate(7, 1), Stored(7, 2)]


def test_holes_without_end_are_refused_until_some_are_filled(line: Any, frame: Frame) -> None:
    line.send(*(frame(2 * i) for i in range(1, MAX_RANGES + 1)))
    over = frame(2 * MAX_RANGES + 2)
    refused, hole, quarantined = line.send(over, frame(3), frame(2 * MAX_RANGES + 3, n=0)).outcomes
    assert (refused.code, hole) == ("rate", Stored(7, 3))
    assert isinstance(quarantined, Quarantined)  # filling a hole has made room for one range
    assert isinstance(line.send(over).outcomes[0], Stored)  # and this joins that one


def test_a_device_may_not_make_stores_without_end(line: Any, frame: Frame) -> None:
    outcomes = line.send(*(frame(1, store=store) for store in range(100))).outcomes
    assert sum(isinstance(outcome, Stored) for outcome in outcomes) == MAX_NEW_STORES_A_DAY
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refused)} == {"rate"}
    (again,) = line.send(frame(1, store=1000)).outcomes
    assert again.code == "rate"
    line.session.execute(text("UPDATE flash_store SET first_seen_at = now() - interval '2 days'"))
    line.session.commit()
    assert isinstance(line.send(frame(1, store=1000)).outcomes[0], Stored)


def test_what_the_database_refuses_costs_only_itself(
    line: Any, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive_badly(payload: bytes) -> ReceivedFrame | Unreadable:
        read = receive(payload)
        assert isinstance(read, ReceivedFrame)
        # No row of the table.
        return msgspec.structs.replace(read, row=read.row + b"x") if read.seq == 4 else read

    monkeypatch.setattr(decide, "receive", receive_badly)
    ingested = line.send(*(frame(seq) for seq in range(1, 8)))
    stored = [outcome.seq for outcome in ingested.outcomes if isinstance(outcome, Stored)]
    assert stored == [1, 2, 3, 5, 6, 7]
    assert ingested.outcomes[3].code == "server"
    told = {rejection.code: rejection for _, ack in ingested.acks for rejection in ack.rejected}
    assert told["server"].retry
    assert max(ack.upto for _, ack in ingested.acks) == 3
    monkeypatch.undo()
    ((_, ack),) = line.send(frame(4)).acks
    assert ack.upto == 7


def test_nothing_is_kept_of_a_batch_that_is_rolled_back(line: Any) -> None:
    deliveries = [Delivery("device-1", b"{}", datetime.now(UTC), True)]
    ingest(line.session, deliveries)
    line.session.rollback()
    assert line.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_batch_of_nothing(line: Any) -> None:
    ingested = line.deliver([])
    assert (ingested.outcomes, ingested.acks) == ([], [])


def test_many_refusals_are_spread_over_acks(line: Any, frame: Frame) -> None:
    ingested = line.send(*(frame(seq, n=0) for seq in range(1, 71)))
    assert [len(ack.rejected) for _, ack in ingested.acks] == [32, 32, 6]
    assert {ack.upto for _, ack in ingested.acks} == {70}


def test_two_bridges_with_the_same_devices_store_each_frame_once(
    engine: Engine, line: Any, frame: Frame, payload: Payload
) -> None:
    devices = [line.hold(f"shared-{number:02}") for number in range(8)]
    rounds = 25
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=1)
    gate = threading.Barrier(2)
    stored: list[Stored] = []
    errors: list[BaseException] = []

    def bridge(turn: int) -> None:
        try:
            for number in range(rounds):
                # Every round has new stores in it, and the two take them in opposite orders.
                batch = [
                    Delivery(device, payload(frame(seq, store=number // 2)), at, True)
                    for device in devices
                    for seq in range(1 + 3 * (number % 2), 5 + 3 * (number % 2))
                ]
                gate.wait(PATIENCE_S)
                with UnitOfWork(engine) as session:
                    outcomes = ingest(session, batch[::turn]).outcomes
                    session.commit()
                stored.extend(outcome for outcome in outcomes if isinstance(outcome, Stored))
        except BaseException as error:  # noqa: BLE001 - for the test's own thread
            gate.abort()
            errors.append(error)

    threads = [threading.Thread(target=bridge, args=(turn,)) for turn in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert line.rows("SELECT count(*) FROM frame") == [(len(stored),)]
    ((ranges,),) = line.rows("SELECT count(*) FROM flash_store WHERE resolved = '{[1,8)}'")
    assert ranges == len(devices) * (rounds // 2)


def _packed(payload: bytes) -> Packed:
    frame = decode(payload)
    assert not isinstance(frame, tuple)
    return pack(frame)
