"""Clock hints from arrivals of frames, and the sessions that they move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.stimulation.ingest.clock_hints import LATER_MS, AnchorCache
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.session.retiming import mark_retimed
from cymba.stimulation.wire.received import ReceivedFrame

Frame = Callable[..., dict[str, Any]]
Payload = Callable[[dict[str, Any]], bytes]
AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
AT_MS = AT.timestamp() * 1000
ANCHORS = "SELECT store, boot, kind, up_ms, wall_at FROM clock_anchor ORDER BY kind, up_ms"


@pytest.mark.parametrize(("settled", "kind"), [(True, "arrival"), (False, "queued")])
def test_the_tightest_arrival_of_a_batch_is_an_anchor(
    line: Any, frame: Frame, payload: Payload, settled: bool, kind: str
) -> None:
    sent = [(frame(1, sent=20_000), 3), (frame(2, sent=30_000), 11), (frame(3, sent=31_000), 13)]
    line.deliver(
        [Delivery("device-1", payload(one), AT + timedelta(seconds=s), settled) for one, s in sent]
    )
    # The boot was no later than 17, 19 and 18 s before AT.
    assert line.rows(ANCHORS) == [(7, 3, kind, 30_000, AT + timedelta(seconds=11))]


def test_the_devices_own_clock_is_an_anchor_too(line: Any, frame: Frame) -> None:
    utc = int(AT_MS) - 7_200_000
    line.send(frame(1, utc=utc), frame(2, utc=utc + 10_000), frame(3, utc=utc + 80_000))
    anchors = line.rows(ANCHORS)
    assert [(row[2], row[3]) for row in anchors] == [
        ("device_clock", 10_000),
        ("device_clock", 30_000),  # it was set a minute on in between
    ]


@pytest.mark.parametrize("utc", [0, 2**53 - 1])
def test_a_clock_that_does_not_know_the_date_tells_nothing(
    line: Any, frame: Frame, utc: int
) -> None:
    ((_, ack),) = line.send(frame(1, utc=utc)).acks
    assert ack.upto == 1
    assert line.rows(ANCHORS) == []
    assert line.rows("SELECT utc_ms FROM frame") == [(utc,)]


def test_extreme_uptimes_do_no_harm(line: Any, frame: Frame) -> None:
    most = 2**53 - 1
    outcomes = line.send(frame(1, up=most, sent=most, utc=int(AT_MS))).outcomes
    assert [type(outcome).__name__ for outcome in outcomes] == ["Stored"]


def test_frames_that_are_not_kept_tell_nothing(line: Any, frame: Frame) -> None:
    line.send(frame(1, sent=20_000), device_id="device-2")
    assert line.rows(ANCHORS) == []


def test_an_exchange_may_come_before_the_first_frame(line: Any) -> None:
    anchors = [
        BootAnchor(BootKey(device_id, 7, 3), Anchor("exchange", 1_000, AT_MS, 20.0))
        for device_id in ("device-1", "device-2", "device-unknown")
    ]
    ingest(line.session, [], exchanges=anchors)
    line.session.commit()
    assert line.rows("SELECT device_id, kind FROM clock_anchor") == [("device-1", "exchange")]


def test_a_memory_asks_only_for_news() -> None:
    boot = BootKey("device-1", 7, 3)
    memory = AnchorCache()

    def arrival(up_ms: float, late_ms: float) -> list[BootAnchor]:
        return [BootAnchor(boot, Anchor("arrival", up_ms, AT_MS + up_ms + late_ms))]

    first = arrival(0, 1000)
    assert memory.news(first) == memory.news(first) == first  # until it is committed
    memory.remember(first)
    assert memory.news(first) == []
    assert memory.news(arrival(10_000, 900)) == []
    assert memory.news(arrival(10_000, 400)) != []
    assert memory.news(arrival(LATER_MS, 1000)) != []


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 3_000) | st.integers(999_000, 1_003_000),
            st.none() | st.integers(int(AT_MS) - 2_000, int(AT_MS) + 2_000),
            st.integers(-2_000, 2_000),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_frames_may_be_news_if_one_of_them_may_be(
    times: list[tuple[int | None, int | None, int]], settled: bool
) -> None:
    memory = AnchorCache()
    boot = BootKey("device-1", 7, 3)
    memory.remember(
        [
            BootAnchor(boot, Anchor("arrival", 1_500, AT_MS)),
            BootAnchor(boot, Anchor("queued", 1_500, AT_MS)),
            BootAnchor(boot, Anchor("device_clock", 0, AT_MS)),
        ]
    )
    frames = [
        ReceivedFrame(7, seq, 3, UUID(int=1), 0, utc, b"", b"", sent, 0, 0)
        for seq, (sent, utc, _) in enumerate(times, start=1)
    ]
    arrived_at = [AT + timedelta(milliseconds=late_ms) for _, _, late_ms in times]
    assert memory.may_be_news("device-1", frames, arrived_at, settled=settled) == any(
        memory.may_be_news("device-1", [frame], [at], settled=settled)
        for frame, at in zip(frames, arrived_at, strict=True)
    )


def test_a_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnchorCache, "MOST_BOOTS", 3)
    memory = AnchorCache()
    anchors = [
        BootAnchor(BootKey("device-1", 7, boot), Anchor("arrival", 0, AT_MS)) for boot in range(5)
    ]
    memory.remember(anchors)
    assert memory.news(reversed(anchors)) == [anchors[1], anchors[0]]


def test_a_new_anchor_has_the_sessions_around_its_boot_summarised_anew(
    line: Any, frame: Frame
) -> None:
    sids = [str(UUID(int=boot)) for boot in range(8)]
    line.send(*(frame(boot + 1, boot=boot, sid=sids[boot]) for boot in range(8)))
    exchange(line, boot=2)
    exchange(line, boot=6)
    line.session.execute(text("UPDATE session_extent SET dirty = false"))
    line.session.commit()
    exchange(line, boot=4)
    dirty = line.rows("SELECT low_boot FROM session_extent WHERE dirty ORDER BY 1")
    assert dirty == [(3,), (4,), (5,)]
    line.session.execute(text("UPDATE session_extent SET dirty = false"))
    exchange(line, boot=7)
    assert line.rows("SELECT low_boot FROM session_extent WHERE dirty ORDER BY 1") == [(7,)]


def exchange(line: Any, boot: int) -> None:
    wall_ms = AT_MS - 3_600_000 * (10 - boot)
    anchor = BootAnchor(BootKey("device-1", 7, boot), Anchor("exchange", 1_000, wall_ms, 20.0))
    ingest(line.session, [], exchanges=[anchor])
    mark_retimed(line.session, "device-1", AT)
    line.session.commit()
