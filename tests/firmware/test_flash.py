import math
from hashlib import sha256
from random import Random
from uuid import UUID

import pytest

from cymba.devices.models import MODELS, usual_programme
from cymba.stimulation.wire.messages import (
    Ack,
    EndFrame,
    Frame,
    Rejection,
    SamplesFrame,
    StartFrame,
)
from firmware.flash import Flash, FlashFrame, Pace

STORE = 7


def frame(seq: int, store: int = STORE) -> Frame:
    return EndFrame(
        v=1, store=store, seq=seq, boot=1, sid=UUID(int=1), up=seq * 1000, reason="completed",
        first_seq=1, last_seq=seq,
    )  # fmt: skip


def start(seq: int) -> Frame:
    return StartFrame(
        v=1, store=STORE, seq=seq, boot=1, sid=UUID(int=2), up=seq * 1000,
        programme=usual_programme(MODELS["ear_cymba"]),
    )  # fmt: skip


def samples(seq: int) -> Frame:
    return SamplesFrame(
        v=1, store=STORE, seq=seq, boot=1, sid=UUID(int=2), up=seq * 1000, dt=1000, n=1, c={}
    )  # fmt: skip


@pytest.fixture
def flash() -> Flash:
    filled = Flash(Pace(), Random(1))
    for seq in range(1, 31):
        filled.keep(frame(seq))
    return filled


def send_all(flash: Flash, now_s: float) -> list[int]:
    sent = []
    while (kept := flash.take_due(now_s)) is not None:
        flash.sent(kept, now_s, b"payload %d" % kept.frame.seq)
        sent.append(kept.frame.seq)
    return sent


def resend_delays(flash: Flash, times: int) -> list[float]:
    (kept,) = (flash.take_due(0.0) for _ in range(1))
    assert isinstance(kept, FlashFrame)
    now_s, delays = 0.0, []
    for _ in range(times):
        flash.sent(kept, now_s, b"")
        delays.append(kept.due_s - now_s)
        now_s = kept.due_s
    return delays


def test_at_most_twenty_are_outstanding(flash: Flash) -> None:
    assert send_all(flash, 0.0) == list(range(1, 21))
    assert flash.outstanding == 20
    assert len(flash) == 30
    assert len(flash.resolve(Ack(store=STORE, upto=3))) == 3
    assert send_all(flash, 1.0) == [21, 22, 23]


def test_sending_frees_nothing_and_an_ack_frees_what_it_names(flash: Flash) -> None:
    send_all(flash, 0.0)
    assert len(flash) == 30
    assert len(flash.resolve(Ack(store=STORE, upto=2, also=[(5, 6), (9, 9)]))) == 5
    assert len(flash) == 25
    assert len(flash.resolve(Ack(store=STORE, upto=2, also=[(5, 6)]))) == 0


def test_an_ack_of_another_store_or_of_none_frees_nothing(flash: Flash) -> None:
    send_all(flash, 0.0)
    assert len(flash.resolve(Ack(store=STORE + 1, upto=30))) == 0
    assert len(flash.resolve(Ack(upto=30))) == 0


def test_what_was_uploaded_another_way_is_freed_before_it_is_sent(flash: Flash) -> None:
    assert len(flash.resolve(Ack(store=STORE, upto=25))) == 25
    assert send_all(flash, 0.0) == [26, 27, 28, 29, 30]


def test_resends_wait_thirty_seconds_and_double_with_jitter() -> None:
    flash = Flash(Pace(), Random(1))
    flash.keep(frame(1))
    delays = resend_delays(flash, 7)
    for delay_s, base_s in zip(delays, [30, 60, 120, 240, 480, 600, 600], strict=True):
        assert base_s <= delay_s <= base_s * 1.25
    assert len({round(delay_s / 30, 6) % 1 for delay_s in delays}) > 3


def test_nothing_is_resent_before_its_time(flash: Flash) -> None:
    send_all(flash, 0.0)
    assert send_all(flash, 29.9) == []
    assert 30.0 <= flash.next_due_s() <= 37.5
    assert sorted(send_all(flash, 38.0)) == list(range(1, 21))


def test_a_new_connection_starts_the_doubling_anew_and_hurries_nothing() -> None:
    flash = Flash(Pace(), Random(1))
    flash.keep(frame(1))
    resend_delays(flash, 5)
    due_s = flash.next_due_s()
    flash.connected(due_s)
    assert flash.take_due(due_s) is None  # the server may first say what it has
    assert flash.next_due_s() == due_s + 5
    kept = flash.take_due(due_s + 5)
    assert kept is not None
    flash.sent(kept, due_s, b"")
    assert 30 <= kept.due_s - due_s <= 30 * 1.25


def test_at_the_simulations_end_no_delay_is_longer_than_the_first() -> None:
    flash = Flash(Pace(), Random(1))
    flash.keep(frame(1))
    resend_delays(flash, 6)
    now_s = flash.next_due_s() - 200.0
    flash.hurry(now_s)
    assert flash.next_due_s() == now_s + 30.0


def test_a_word_of_the_server_ends_the_wait_after_connecting() -> None:
    flash = Flash(Pace(), Random(1))
    flash.keep(frame(1))
    send_all(flash, 0.0)
    flash.connected(100.0)
    flash.resolve(Ack(store=STORE, upto=0))
    assert send_all(flash, 100.0) == [1]


def test_a_refusal_alone_frees_nothing(flash: Flash) -> None:
    send_all(flash, 0.0)
    for_now = Rejection(code="not-claimed", detail="", retry=True, seq=5)
    for_good = Rejection(code="schema", detail="", retry=False, seq=4)
    assert len(flash.resolve(Ack(store=STORE, upto=0, rejected=[for_now, for_good]))) == 0
    assert {4, 5} <= set(send_all(flash, 40.0))
    assert len(flash.resolve(Ack(store=STORE, upto=0, also=[(4, 4)], rejected=[for_good]))) == 1


def test_a_running_session_goes_before_the_backlog_and_lets_it_in_between(flash: Flash) -> None:
    flash.keep(start(31))
    flash.keep(samples(32))
    flash.keep(samples(33))
    assert send_all(flash, 0.0)[:7] == [31, 1, 32, 2, 33, 3, 4]
    flash.keep(frame(34))
    flash.resolve(Ack(store=STORE, upto=4))
    assert send_all(flash, 1.0) == [18, 19, 20, 21]


def test_a_payload_that_showed_no_number_is_freed_by_its_name() -> None:
    flash = Flash(Pace(), Random(1))
    flash.keep(frame(1))
    kept = flash.take_due(0.0)
    assert kept is not None
    flash.sent(kept, 0.0, b"broken")
    assert kept.payload_name == sha256(b"broken").hexdigest()[:16]
    named = Rejection(code="schema", detail="", retry=False, payload=kept.payload_name)
    assert len(flash.resolve(Ack(upto=0, rejected=[named]))) == 1
    assert flash.next_due_s() == math.inf


def test_the_servers_rate_is_kept_to_until_it_is_lifted(flash: Flash) -> None:
    send_all(flash, 0.0)
    flash.resolve(Ack(store=STORE, upto=20, max_frames_per_s=2.0))
    assert send_all(flash, 1.0) == [21]
    assert flash.next_due_s() == pytest.approx(1.5)
    assert send_all(flash, 1.4) == []
    assert send_all(flash, 1.5) == [22]
    flash.resolve(Ack(store=STORE, upto=22))
    assert send_all(flash, 1.6) == [23, 24, 25, 26, 27, 28, 29, 30]
