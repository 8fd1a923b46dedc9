"""What the kit makes of single messages and of traces that no device needs to be run for."""

import json
import re
from pathlib import Path

import pytest

from conformance import report, rules
from conformance.frames import rule_of
from conformance.report import Report
from conformance.trace import (
    Ended,
    Entry,
    Evicted,
    FromDevice,
    Probed,
    ProtocolTimes,
    QosRaised,
    ToDevice,
)
from cymba.stimulation.wire.frames import Unreadable, decode
from cymba.stimulation.wire.messages import Ack, Rejection, to_json

TIMES = ProtocolTimes()
SID = "6f0c2d9e-8a51-4c0e-9d0b-3f6a1c2b4d5e"


def frame(seq: int = 1, **members: object) -> bytes:
    whole = {
        "v": 1, "store": 9, "seq": seq, "boot": 3, "sid": SID, "kind": "samples",
        "up": seq * 10_000, "dt": 1000, "n": 2, "c": {"heart_rate_bpm": [70, 71]},
    }  # fmt: skip
    return json.dumps(
        {name: one for name, one in (whole | members).items() if one is not ...}
    ).encode()


def presence(*, online: bool = True, sent: int = 100, **members: object) -> bytes:
    return json.dumps({"online": online, "store": 9, "boot": 3, "sent": sent, **members}).encode()


def heard(at_s: float, topic: str, payload: bytes, **of: object) -> FromDevice:
    qos = 0 if topic == "up/time" else 1
    return FromDevice(at_s, topic, payload, **{"qos": qos, **of})  # type: ignore[arg-type]


def sent(at_s: float, seq: int = 1, **members: object) -> FromDevice:
    return heard(at_s, "up/frame", frame(seq, **members))


def begun(at_s: float, seq: int) -> FromDevice:
    programme = {
        "frequency_hz": 25, "pulse_width_us": 250, "amplitude_ua": 0, "on_s": 30, "off_s": 30,
        "duration_s": 1800, "site": "cymba_conchae", "side": "left",
    }  # fmt: skip
    return sent(at_s, seq, kind="start", programme=programme, n=..., dt=..., c=...)


def acked(at_s: float, *seqs: int, upto: int = 0, **members: object) -> ToDevice:
    ack = Ack(store=9, upto=upto, also=[(seq, seq) for seq in seqs], **members)  # type: ignore[arg-type]
    return ToDevice(at_s, "ack", to_json(ack))


def judged(*trace: Entry) -> Report:
    return report.judge("device-0001", list(trace), TIMES)


def broken(*trace: Entry) -> set[str]:
    return {one.rule for one in judged(*trace).verdicts if one.outcome == "broken"}


def kept(*trace: Entry) -> set[str]:
    return {one.rule for one in judged(*trace).verdicts if one.outcome == "kept"}


def test_every_rule_has_its_line_on_the_page() -> None:
    lines = rules.PAGE.read_text().splitlines()
    places = rules.places()
    assert set(rules.JUDGED) <= set(places)
    for rule, place in places.items():
        assert lines[place.line - 1].startswith(f"- **{rule}** ")
    assert set(rules.HIDDEN_BY) <= set(rules.JUDGED)


def test_without_the_page_there_are_no_lines(tmp_path: Path) -> None:
    assert rules.places(tmp_path / "none.md") == {}
    shown = report.as_text(judged(sent(0), Ended(1)), {})
    assert "docs/" not in shown


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"\x00", "R6"),
        (b"", "R6"),
        (frame()[:-5], "R6"),
        (frame() + b" " * 17_000, "R7"),
        (frame() + frame(), "R6"),
        (bytes.fromhex("a16176") + b"\x01\x02", "R7"),
        (frame(rssi=-60), "R8"),
        (frame(boot=...), "R8"),
        (frame(v=2), "R8"),
        (frame(up="0"), "R8"),
        (frame(c={"heart_rate_bpm": [70.5, 71]}), "R9"),
        (frame(sent=1), "R17"),
        (frame(c={"heart_rate_bpm": [70]}), "R19"),
        (frame(c={"rr_ms": [800] * 9}), "R20"),
        (frame(c={"heart_rate_bpm": [0, 70]}), "R21"),
        (frame(c={"charge_uc": [5, 4]}), "R21"),
        (frame(c={"SpO2": [98, 98]}), "R22"),
        (
            frame(kind="end", reason="completed", first_seq=5, last_seq=4, n=..., dt=..., c=...),
            "R24",
        ),
    ],
)  # fmt: skip
def test_what_the_server_would_refuse_breaks_a_rule(payload: bytes, rule: str) -> None:
    read = decode(payload)
    assert isinstance(read, Unreadable)
    assert rule_of(read) == rule
    assert broken(heard(0, "up/frame", payload), Ended(1)) == {rule, "R36"}


def test_silence_is_no_verdict() -> None:
    made = judged(Ended(1))
    assert {one.outcome for one in made.verdicts} == {"unseen"}
    assert made.outcome == "unseen"


def test_without_hearing_acks_nothing_is_said_of_them() -> None:
    online = heard(0, "up/presence", presence())
    many = [sent(1 + seq / 100, seq) for seq in range(1, 40)]
    of_acks = {"R25", "R26", "R27", "R28", "R29"}
    made = judged(online, *many, sent(3, 1), Ended(200))
    assert {one.outcome for one in made.verdicts if one.rule in of_acks} == {"unseen"}


@pytest.mark.parametrize(
    ("trace", "rules_broken"),
    [
        # Answered, and well: a resend after 30 s, then after 60 s.
        ([sent(1), acked(2, 7), sent(32), sent(93), acked(94, 1), Ended(99)], set()),
        ([sent(1), acked(2, 7), sent(21), Ended(25)], {"R28"}),
        ([sent(1), acked(2, 7), sent(32), sent(63), Ended(65)], {"R28"}),
        ([sent(1), acked(2, 7), Ended(90)], {"R25"}),
        ([sent(1), acked(2, 7), acked(60, 1), Ended(61)], {"R25"}),
        # One resend may have crossed the word that freed the frame; a second one has not.
        ([sent(1), acked(2, 1), sent(32), acked(33, 1), Ended(99)], set()),
        ([sent(1), acked(2, 1), sent(32), acked(33, 1), sent(64), Ended(99)], {"R25"}),
        ([sent(1), acked(2, 1), acked(3), sent(32), Ended(99)], {"R26"}),
        (
            [
                sent(1),
                acked(2, rejected=[Rejection(code="server", detail="", retry=True, seq=1)]),
                Ended(90),
            ],
            {"R29"},
        ),
        # Nobody can be blamed for what was not sent again while the device was away.
        (
            [sent(1), acked(2, 7), heard(5, "up/presence", presence(online=False)), Ended(500)],
            set(),
        ),
        # What was sent of a session before the listener began is unknown.
        ([sent(90, 2), sent(90.1, 1), acked(91, 1, 2), Ended(95)], set()),
        (
            [begun(90, 1), sent(90.1, 3), sent(90.2, 2), acked(91, 1, 2, 3), Ended(95)],
            {"R30"},
        ),
        # What was sent over a connection that ended may never have come. It is sent when it is due.
        (
            [begun(90, 1), heard(91, "up/presence", presence()), sent(92, 4), sent(92.1, 2),
             sent(92.2, 3), acked(93, 1, 2, 3, 4), Ended(95)],
            set(),
        ),
        (
            [begun(90, 1), sent(90.1, 3), heard(91, "up/presence", presence()), sent(92, 4),
             sent(92.1, 2), acked(93, 1, 2, 3, 4), Ended(95)],
            {"R30"},
        ),
        (
            [acked(1, 99, max_frames_per_s=1.0)]
            + [sent(2 + seq / 100, seq) for seq in range(1, 19)]
            + [acked(2.5, *range(1, 19), max_frames_per_s=1.0)]
            + [sent(3 + seq / 100, seq) for seq in range(19, 37)]
            + [acked(4, *range(19, 37)), Ended(5)],
            {"R31"},
        ),
    ],
)  # fmt: skip
def test_what_is_kept_and_sent_again(trace: list[Entry], rules_broken: set[str]) -> None:
    # It has been online since before this began, and said so.
    online = heard(0, "up/presence", presence(), retained=True)
    exchange = heard(0.5, "up/time", b'{"boot":3,"store":9,"u1":200}')
    assert broken(online, exchange, *trace) == rules_broken


def test_seventeen_stores_are_too_many() -> None:
    online = heard(0, "up/presence", presence())
    stores = [heard(at, "up/frame", frame(store=at)) for at in range(1, 18)]
    # 17 and the one that presence names; each of them under the one session id.
    assert "R34" in broken(online, *stores, Ended(20))
    assert "R34" in kept(online, *stores[:15], Ended(20))


@pytest.mark.parametrize(
    ("second", "rules_broken"),
    [
        ({"seq": 1, "utc": 1_790_000_000_000}, {"R39"}),
        ({"seq": 1, "c": {"heart_rate_bpm": [70, 72]}}, {"R13"}),
        ({"seq": 1, "sent": 99_000}, set()),
        ({"seq": 3}, {"R12"}),
        ({"seq": 2, "boot": 2}, {"R16"}),
        ({"seq": 2, "up": 1}, {"R16"}),
        ({"seq": 2, "utc": 20_000}, {"R18"}),
        ({"seq": 2, "dt": 20_000}, {"R23"}),
        ({"seq": 2, "boot": 4, "sent": 99_000}, {"R17"}),
    ],
)
def test_two_frames_judge_each_other(second: dict[str, object], rules_broken: set[str]) -> None:
    online = heard(0, "up/presence", presence(), retained=True)
    later = heard(40, "up/frame", frame(**second))  # type: ignore[arg-type]
    assert broken(online, sent(1), later, acked(41, 1, 2, 3), Ended(120)) - {"R25"} == rules_broken


def test_a_gap_may_be_a_backlog_that_is_still_to_come() -> None:
    online = heard(0, "up/presence", presence(), retained=True)
    other = "7a1c2d9e-8a51-4c0e-9d0b-3f6a1c2b4d5e"
    live = heard(2, "up/frame", frame(9, sid=other))
    assert "R12" not in broken(online, sent(1), live, acked(3, 1, 9), Ended(500))
    emptied = heard(400, "up/presence", presence(queued=0))
    assert "R12" in broken(online, sent(1), live, acked(3, 1, 9), emptied, Ended(500))


@pytest.mark.parametrize(
    ("confirmed", "holds"),
    [
        ({"u1": 200, "t2": 5000, "t3": 5001, "u4": 260}, True),
        ({"u1": 201, "t2": 5000, "t3": 5001, "u4": 260}, False),
        ({"u1": 200, "t2": 5002, "t3": 5001, "u4": 260}, False),
        ({"u1": 200, "t2": 5000, "u4": 260}, False),
        ({"u1": 200, "t2": 5000, "t3": 5001, "u4": 9_200}, False),
        ({"u1": 200, "t2": 5000, "t3": 5001, "u4": 100}, False),
    ],
)
def test_a_clock_is_confirmed_as_it_was_told(confirmed: dict[str, int], holds: bool) -> None:
    trace: list[Entry] = [
        heard(0, "up/presence", presence()),
        heard(1, "up/time", b'{"boot":3,"store":9,"u1":200}'),
        ToDevice(1.1, "time", b'{"boot":3,"u1":200,"t2":5000,"t3":5001}'),
        heard(1.2, "up/time", json.dumps({"boot": 3, "store": 9, **confirmed}).encode()),
        Ended(100),
    ]
    assert ("R38" in kept(*trace)) is holds
    assert ("R38" in broken(*trace)) is not holds


def test_a_device_that_never_asks_for_the_time_has_a_minute() -> None:
    online = heard(0, "up/presence", presence())
    again = heard(50, "up/presence", presence())  # the same connection
    assert broken(online, again, Ended(59)) == set()
    assert broken(online, again, Ended(61)) == {"R38"}


@pytest.mark.parametrize(
    ("trace", "rules_broken"),
    [
        ([heard(1, "up/frames", b"{}")], {"R1"}),
        ([heard(1, "up/presence", presence(), qos=0)], {"R1"}),
        ([QosRaised(0), heard(1, "up/presence", presence(), qos=2)], set()),
        ([heard(1, "up/time", b'{"boot":3,"u1":5}', retained=True)], {"R1"}),
        ([heard(1, "up/presence", b"{}")], {"R8"}),
        ([heard(1, "up/presence", presence(), retained=True), Probed(2)], set()),
        ([heard(1, "up/presence", presence()), Probed(2)], {"R36"}),
        (
            [
                heard(1, "up/presence", presence()),
                Probed(2),
                heard(2.1, "up/presence", presence(sent=99), retained=True),
            ],
            {"R36"},
        ),
        ([heard(1, "up/presence", presence()), Evicted(2),
          heard(3, "up/presence", presence(sent=200))], {"R36"}),
        ([heard(1, "up/presence", presence()), Evicted(2),
          heard(2.1, "up/presence", presence(online=False)),
          heard(2.2, "up/presence", presence(sent=200))], {"R5"}),
        ([heard(1, "up/presence", presence()),
          heard(2, "up/presence", presence(sent=50))], {"R36"}),
        ([heard(1, "up/presence", presence()),
          heard(2, "up/presence", presence(boot=2))], {"R16"}),
    ],
)  # fmt: skip
def test_connections_and_topics(trace: list[Entry], rules_broken: set[str]) -> None:
    assert broken(*trace, Ended(20)) == rules_broken


def test_a_broker_that_shows_no_qos_leaves_it_open() -> None:
    two = [heard(1, "up/presence", presence(), qos=2), sent(2, 1)]
    assert "R1" in broken(*two, Ended(3))
    alike = [heard(1, "up/presence", presence(), qos=2)]
    assert "R1" not in broken(*alike, Ended(3)) | kept(*alike, Ended(3))


def test_a_broker_may_deliver_an_ack_before_its_frames() -> None:
    """Frames wait for the listener's PUBACKs, and an ack waits for none."""
    answers = [acked(1.0 + seq / 100, upto=seq) for seq in range(1, 41)]
    frames = [sent(2.0 + seq / 100, seq) for seq in range(1, 41)]
    assert not {"R25", "R26", "R27"} & broken(*answers, *frames)


def test_a_broken_rule_hides_what_it_explains() -> None:
    online = heard(0, "up/presence", presence(), retained=True)
    many = [sent(1 + seq / 100, seq) for seq in range(1, 40)]
    made = judged(online, acked(0.5, 99), *many, Ended(200))
    of = {one.rule: one for one in made.verdicts}
    assert of["R25"].outcome == "broken"
    assert (of["R27"].outcome, of["R27"].hidden_by) == ("unseen", "R25")
    shown = report.as_text(made, rules.places())
    assert re.search(r"broken +R25 .*docs/device-protocol\.md:\d+", shown)
    assert "cannot be judged while R25 is broken" in shown


def test_silence_is_told_with_its_likely_mistake() -> None:
    topic = "cymba/v1/device-0001/up/frame (presence"
    nothing = report.as_text(judged(Ended(60)), {})
    assert "nothing came on the four topics" in nothing
    assert topic in nothing
    online = report.as_text(judged(heard(0, "up/presence", presence()), Ended(60)), {})
    assert "no frame came. If the device is connected" in online
    assert topic in online
    assert topic not in report.as_text(judged(sent(0), Ended(60)), {})


BY_LEVEL = {"site": "neck", "side": "both", "native_level": 4, "duration_s": 240}
BY_CURRENT = {
    "frequency_hz": 25, "pulse_width_us": 250, "amplitude_ua": 0, "on_s": 30, "off_s": 30,
    "duration_s": 1800, "site": "neck", "side": "left",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "programme", "columns", "is_kept"),
    [
        ("neck_band", BY_LEVEL, {"native_level": [4, 5]}, True),
        ("neck_band", BY_LEVEL | {"amplitude_ua": 0}, {"native_level": [4, 5]}, False),
        ("neck_band", {"site": "neck"}, {"native_level": [4, 5]}, False),
        ("neck_band", BY_LEVEL, {"amplitude_ua": [4, 5]}, False),
        ("implant", {"site": "neck"}, {"battery_pct": [80, None]}, True),
        ("implant", {"site": "neck"}, {"native_level": [1, 1]}, False),
        ("tens_ear_clip", {"site": "tragus", "frequency_hz": 20, "pulse_width_us": 200,
                           "amplitude_ua": 3000}, {"amplitude_ua": [3000, 3000]}, True),
        ("tens_ear_clip", {"site": "tragus", "amplitude_ua": 3000}, {}, False),
        ("neck", BY_CURRENT, {"amplitude_ua": [0, 0]}, True),
        ("neck", BY_LEVEL, {"amplitude_ua": [0, 0]}, False),
    ],
)  # fmt: skip
def test_each_kind_of_model_tells_what_it_knows_and_no_more(
    model: str, programme: dict[str, object], columns: dict[str, object], is_kept: bool
) -> None:
    trace: list[Entry] = [
        heard(0, "up/presence", presence(model=model), retained=True),
        sent(1, 1, kind="start", programme=programme, n=..., dt=..., c=...),
        sent(2, 2, c=columns or {"battery_pct": [80, None]}),
        acked(3, 1, 2),
        Ended(20),
    ]
    assert ("R42" not in broken(*trace)) is is_kept
    assert ("R42" in kept(*trace)) is is_kept


def test_a_device_that_is_cut_off_again_and_again_sends_more_than_the_broker_takes() -> None:
    times = [heard(at, "up/presence", presence(sent=100 * at)) for at in (1, 3, 6, 10)]
    assert "R7" in broken(*times, Ended(15))
    assert "R7" not in broken(*times[:2], Ended(15))
    assert "R7" not in broken(*times, sent(11), acked(12, 1), Ended(15))
