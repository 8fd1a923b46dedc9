"""Operators look at what was refused, and try it again."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from cymba.errors import Conflict, NotFound
from cymba.stimulation.ingest import quarantine
from cymba.stimulation.ingest.decide import MAX_KEPT_BYTES, Duplicate, Quarantined, Refused, Stored
from cymba.stimulation.wire import frames, received

Frame = Callable[..., dict[str, Any]]
Payload = Callable[[dict[str, Any]], bytes]


def knew_less(earlier: pytest.MonkeyPatch, channel: str, low: int, high: int) -> None:
    """An earlier version, with narrower bounds of a channel."""
    earlier.setitem(frames._BOUNDS, channel, (low, high, False, False))
    earlier.setattr(received, "_receive_known", lambda _payload: None)


def test_a_payload_is_kept_whole_with_its_reason(line: Any, frame: Frame, payload: Payload) -> None:
    bad = frame(5, c={"heart_rate_bpm": [72, 999]}, sent=60_000)
    line.send(bad)
    (listed,) = quarantine.page(line.session)
    assert (listed.device_id, listed.store, listed.seq) == ("device-1", 7, 5)
    assert listed.code == "impossible-value"
    assert listed.detail == "c.heart_rate_bpm[1]: 999 is outside 20…300 /min"
    row = quarantine.get(line.session, listed.id)
    assert row.payload == payload(bad)
    assert listed.payload_bytes == len(row.payload)


def test_a_resend_adds_no_row(line: Any, frame: Frame) -> None:
    for sent in (60_000, 70_000):
        line.send(frame(5, n="two", sent=sent), frame(6, c={"rr_ms": [1]}, sent=sent))
    line.send(frame(5, n="two", sent=80_000))
    assert {row.seq: row.times_seen for row in quarantine.page(line.session)} == {5: 3, 6: 2}


def test_pages_and_filters(line: Any, frame: Frame) -> None:
    line.hold("device-3")
    line.send(*(frame(seq, n=0) for seq in range(1, 6)))
    line.send(frame(1, v=2), device_id="device-3")
    first = quarantine.page(line.session, limit=4)
    rest = quarantine.page(line.session, after=first[-1].id)
    assert len(first) == 4
    assert [row.id for row in first + rest] == sorted({row.id for row in first + rest})
    assert sorted(str(row.seq) for row in first + rest) == list("112345")
    (other,) = quarantine.page(line.session, device_id="device-3")
    assert quarantine.page(line.session, code="unsupported-version") == [other]


def test_a_frame_whose_form_was_learnt_later_is_stored(
    line: Any, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        knew_less(earlier, "heart_rate_bpm", 20, 60)
        line.send(frame(1, c={"heart_rate_bpm": [72, 73]}))
    (listed,) = quarantine.page(line.session)
    assert quarantine.replay(line.session, listed.id) == (Stored(7, 1), True)
    line.session.commit()
    assert line.rows("SELECT seq FROM frame") == [(1,)]
    assert quarantine.page(line.session) == []
    (settled,) = quarantine.page(line.session, only_waiting=False)
    assert settled.replay_outcome == "stored"
    assert settled.replayed_at is not None
    with pytest.raises(Conflict, match="stored"):
        quarantine.replay(line.session, listed.id)


def test_a_frame_that_came_again_meanwhile_is_a_duplicate(
    line: Any, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = frame(1, c={"heart_rate_bpm": [72, 73]})
    with monkeypatch.context() as earlier:
        knew_less(earlier, "heart_rate_bpm", 20, 60)
        line.send(good)
    line.send(good)
    (listed,) = quarantine.page(line.session)
    assert quarantine.replay(line.session, listed.id) == (Duplicate(7, 1), True)


def test_what_is_still_wrong_waits_on(line: Any, frame: Frame) -> None:
    line.send(frame(1, n=0))
    (listed,) = quarantine.page(line.session)
    outcome, is_settled = quarantine.replay(line.session, listed.id)
    line.session.commit()
    assert isinstance(outcome, Quarantined)
    assert not is_settled
    (again,) = quarantine.page(line.session)
    assert (again.times_seen, again.replay_outcome) == (1, "quarantined, schema")


def test_another_reason_than_before_settles_the_first(
    line: Any, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.send(frame(1))
    with monkeypatch.context() as earlier:
        knew_less(earlier, "amplitude_ua", 0, 1)
        line.send(frame(1, up=5))
    (first,) = quarantine.page(line.session)
    outcome, is_settled = quarantine.replay(line.session, first.id)
    assert is_settled
    assert isinstance(outcome, Quarantined)
    assert [row.code for row in quarantine.page(line.session)] == ["key-reuse"]


def test_a_device_that_nobody_holds_any_more_is_not_replayed(line: Any, frame: Frame) -> None:
    line.send(frame(1, n=0))
    line.session.execute(text("UPDATE device_tenure SET released_at = claimed_at"))
    (listed,) = quarantine.page(line.session)
    outcome, is_settled = quarantine.replay(line.session, listed.id)
    assert isinstance(outcome, Refused)
    assert not is_settled
    assert quarantine.page(line.session)[0].replay_outcome == "refused, not-claimed"


def test_there_is_no_such_row(line: Any) -> None:
    with pytest.raises(NotFound):
        quarantine.replay(line.session, 1)


def test_of_a_huge_payload_the_beginning_is_kept(line: Any) -> None:
    line.send(b"{" + b" " * MAX_KEPT_BYTES)
    (listed,) = quarantine.page(line.session)
    assert listed.code == "too-large"
    assert listed.detail == (
        f"the payload has {MAX_KEPT_BYTES + 1} bytes, at most 16384 are allowed"
    )
    assert listed.payload_bytes == MAX_KEPT_BYTES
