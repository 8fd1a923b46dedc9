"""Sums that are kept and folded on give the very same summary as one pass over all frames."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import Anchor, DeviceClocks, to_ms
from cymba.devices.models import Reports
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session import folding
from cymba.stimulation.session.dose import MARKS
from cymba.stimulation.session.folding import SessionSums, fold_on, kept, recall, sums_of
from cymba.stimulation.session.made_up import KNOWS_ALL, unknown_to
from cymba.stimulation.session.summary import RECTANGULAR, Summary, summarise, summed_up
from tests.stimulation.conftest import BOOTED_AT, Tape

HOUR = timedelta(hours=1)
READINGS: dict[str, st.SearchStrategy[int | None]] = {
    "amplitude_ua": st.none() | st.integers(0, 3_000),
    "amplitude_delivered_ua": st.none() | st.integers(0, 3_000),
    "native_level": st.none() | st.integers(0, 9),
    "impedance_ohm": st.none() | st.sampled_from([100, 3_000, 5_000, 20_000, 20_001]),
    "charge_uc": st.none() | st.integers(0, 50),
    "heart_rate_bpm": st.none() | st.integers(60, 65),
    "later": st.integers(0, 3),
}
BEATS = st.lists(st.none() | st.sampled_from([250, 700, 800, 810, 1_000]), max_size=6)
HONEST = ("samples", "samples", "mark", "gap")
LATE = ("samples", "late mark", "falls a little", "gap")
ANY = (*HONEST, *LATE, "reboot", "lose", "end", "start", "falls", "boot again")


def clocks_of(off_s: int) -> DeviceClocks:
    """Clocks of some boots, of which what is known changes with `off_s`."""
    began_ms = {boot: to_ms(BOOTED_AT + boot * HOUR) for boot in range(1, 9)}
    return DeviceClocks(
        {
            (7, boot): [Anchor("exchange", 0.0, at_ms + 1_000 * off_s, 5.0 + off_s)]
            for boot, at_ms in began_ms.items()
            if boot % 3 or off_s
        }
    )


@st.composite
def sessions(draw: st.DrawFn) -> list[ReadFrame]:
    tape = Tape()
    if draw(st.booleans()):
        tape.start(counters=draw(st.none() | st.just({"charge_uc": 3})))
    steps = st.sampled_from(draw(st.sampled_from([HONEST, LATE, ANY])))
    for step in draw(st.lists(steps, min_size=3, max_size=12)):
        _write(draw, tape, step)
    if not tape.frames:
        tape.start()
    begin = BOOTED_AT + timedelta(hours=draw(st.integers(0, 9)))
    return [ReadFrame(one, begin + i * timedelta(seconds=9)) for i, one in enumerate(tape.frames)]


def _write(draw: st.DrawFn, tape: Tape, step: str) -> None:
    up = tape.up
    match step:
        case "samples":
            n = draw(st.integers(1, 5))
            names = draw(st.lists(st.sampled_from(sorted(READINGS)), unique=True, max_size=4))
            columns: dict[str, Any] = {"amplitude_ua": list(range(1_000, 1_000 + n))}
            columns |= {name: [draw(READINGS[name]) for _ in range(n)] for name in names}
            if draw(st.booleans()):
                columns["rr_ms"] = draw(BEATS)
            tape.samples(dt=draw(st.sampled_from([1_000, 10_000])), **columns)
        case "mark" | "late mark":
            if step == "late mark":
                tape.up -= min(draw(st.sampled_from([1_000, 2_500, 15_000])), tape.up)
            tape.event(draw(st.sampled_from([*sorted(MARKS), "beep"])))
            tape.up = up
        case "gap":
            tape.pass_time(draw(st.sampled_from([500, 1_000, 7_000, 90_000])))
        case "reboot":
            tape.reboot()
        case "boot again":
            tape.boot = max(1, tape.boot - 1)
        case "falls" | "falls a little":
            tape.up = max(0, up - (90_000 if step == "falls" else draw(st.integers(1, 3)) * 1_000))
        case "lose":
            tape.lose()
        case "end":
            tape.end()
        case "start":
            tape.start()


def summary_of(sums: Any, clocks: DeviceClocks, reports: Reports) -> Summary:
    return summed_up(sums, clocks, silent=False, waveform=RECTANGULAR, reports=reports)


def folded(
    written: bytes, reads: Sequence[ReadFrame], unknown: Collection[str]
) -> SessionSums | None:
    sums = recall(written, unknown)
    return sums if sums is not None and fold_on(sums, reads) else None


def follow(
    rounds: Sequence[Sequence[ReadFrame]], off_s: Sequence[int], reports: Reports = KNOWS_ALL
) -> int:
    """Go round as a worker that starts anew each time; how many rounds were folded on."""
    here: list[ReadFrame] = []
    written: bytes | None = None
    folded_on = 0
    unknown = unknown_to(reports)
    for came, off in zip(rounds, off_s, strict=True):
        clocks = clocks_of(off)
        latest = max((read.frame.seq for read in here), default=0)
        here = [*here, *came]
        in_order = sorted(came, key=lambda read: read.frame.seq)
        # What has a lower number than all that is summed is late: the worker reads everything.
        is_next = all(read.frame.seq > latest for read in in_order)
        sums = folded(written, in_order, unknown) if is_next and written else None
        folded_on += sums is not None
        if sums is None:
            sums = sums_of(here, clocks, unknown)
        written = kept(sums)
        assert summary_of(sums, clocks, reports) == summarise(
            here, clocks, silent=False, reports=reports
        )
    return folded_on


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_sums_that_are_folded_on_are_those_of_one_pass(data: st.DataObject) -> None:
    frames = data.draw(sessions())
    if data.draw(st.booleans()):
        frames = data.draw(st.permutations(frames))
    rounds = [[frames[0]]]
    for read in frames[1:]:
        if data.draw(st.booleans()):
            rounds[-1].append(read)
        else:
            rounds.append([read])
    off_s = [data.draw(st.integers(0, 3)) for _ in rounds]
    known: st.SearchStrategy[Any] = st.sampled_from(["known", "by_level", "unknown"])
    reports = Reports(current=data.draw(known), frequency="known", pulse_width="known")
    follow(rounds, off_s, reports)


def half_an_hour(tape: Tape) -> list[ReadFrame]:
    """As a device records it, with marks among samples, beats, a reboot and an end."""
    tape.start(counters={"charge_uc": 10})
    for number in range(24):
        tape.samples(
            amplitude_ua=[1_000 + number] * 10,
            impedance_ohm=[5_000] * 9 + [None],
            rr_ms=[800, 810, 790],
            charge_uc=[10 + number] * 10,
        )
        if number % 6 == 0:
            tape.up -= 4_000
            tape.event("lead_off")
            tape.up += 2_000
            tape.event("lead_on")
            tape.up += 2_000
        if number == 12:
            tape.reboot()
    return tape.end().read()


def test_a_usual_session_is_folded_on_from_its_first_frame_to_its_last() -> None:
    frames = half_an_hour(Tape())
    assert follow([[read] for read in frames], [1] * len(frames)) == len(frames) - 1


def overlapping(tape: Tape) -> None:
    tape.samples(charge_uc=[0, 10, 20, 30])
    tape.up -= 2_500
    tape.samples(charge_uc=[15, 25, 35])


def marked_at_the_last_sample_that_is_summed(tape: Tape) -> None:
    tape.samples(amplitude_ua=[1_000] * 4)
    tape.up -= 1_000
    tape.samples(amplitude_ua=[1_000])
    tape.up -= 1_000
    tape.event("pause")


@pytest.mark.parametrize("odd", [overlapping, marked_at_the_last_sample_that_is_summed])
def test_what_does_not_follow_makes_all_be_summed_anew(odd: Callable[[Tape], None]) -> None:
    tape = Tape().start()
    odd(tape)
    frames = tape.read()
    assert follow([[read] for read in frames], [0] * len(frames)) == len(frames) - 2


@pytest.mark.parametrize("why", ["version", "model", "bytes"])
def test_sums_of_other_code_or_of_another_model_are_made_anew(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    *before, last = half_an_hour(Tape())
    written = kept(sums_of(before, clocks_of(0), ()))
    assert written is not None
    assert folded(written, [last], ()) is not None
    if why == "version":
        monkeypatch.setattr(folding, "VERSION", folding.VERSION + 1)
    unknown = ["amplitude_ua"] if why == "model" else []
    assert folded(written[:-1] if why == "bytes" else written, [last], unknown) is None


def test_what_is_kept_does_not_grow_with_the_session() -> None:
    tape = Tape().start()
    sizes = []
    for _ in range(3):
        for _ in range(40):
            tape.samples(amplitude_ua=[1_000] * 10, impedance_ohm=[5_000] * 10, rr_ms=[800] * 12)
        sizes.append(len(kept(sums_of(tape.read(), clocks_of(0), ())) or b""))
    assert sizes[2] - sizes[1] < 20
    assert 0 < max(sizes) < 2_000


def test_of_a_session_in_two_stores_nothing_is_kept() -> None:
    tape = Tape().start().factory_reset(8).start()
    assert kept(sums_of(tape.read(), DeviceClocks({}), ())) is None
