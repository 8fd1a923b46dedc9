"""Of models that know less and less, no figure of a session is one that nobody measured."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.charge import Pulse, SineBurst
from cymba.devices.clocks import Anchor, DeviceClocks, to_ms
from cymba.devices.messages import Programme
from cymba.devices.models import Reports
from cymba.stimulation.session.summary import Summary, summarise
from tests.stimulation.conftest import BOOTED_AT, Tape

CHANNELS = (
    "amplitude_ua",
    "amplitude_delivered_ua",
    "native_level",
    "charge_uc",
    "pulses",
    "impedance_ohm",
    "heart_rate_bpm",
)
# What each figure rests on: some of the channels, and all of the members of the programme.
RESTS_ON: dict[str, tuple[set[str], set[str]]] = {
    "mean_amplitude_ua": ({"amplitude_ua", "amplitude_delivered_ua"}, set()),
    "max_amplitude_ua": ({"amplitude_ua", "amplitude_delivered_ua"}, set()),
    "mean_amplitude_over_threshold": (
        {"amplitude_ua", "amplitude_delivered_ua"},
        {"sensory_threshold_ua"},
    ),
    "mean_native_level": ({"native_level"}, set()),
    "max_native_level": ({"native_level"}, set()),
    "mean_impedance_ohm": ({"impedance_ohm"}, set()),
    "heart_rate_before_bpm": ({"heart_rate_bpm"}, set()),
    "heart_rate_during_bpm": ({"heart_rate_bpm"}, set()),
}
BY_INTEGRAL = {
    "delivered_charge_uc": {"frequency_hz", "pulse_width_us"},
    "pulses": {"frequency_hz"},
}
COUNTED = {"delivered_charge_uc": "charge_uc", "pulses": "pulses"}
CLOCKS = DeviceClocks({(7, 1): [Anchor("exchange", 0, to_ms(BOOTED_AT), 5)]})

whole_programmes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"site": st.just("neck")},
    optional={
        "frequency_hz": st.floats(1, 100),
        "pulse_width_us": st.integers(50, 500),
        "amplitude_ua": st.integers(0, 5_000),
        "native_level": st.integers(0, 9),
        "sensory_threshold_ua": st.integers(100, 2_000),
        "duration_s": st.integers(1, 600),
    },
)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Tape, Reports, Any, set[str]]:
    """A session, what its model knows, and the channels of which it has a reading."""
    reports = Reports(
        current=draw(st.sampled_from(["known", "by_level", "unknown"])),
        frequency=draw(st.sampled_from(["known", "unknown"])),
        pulse_width=draw(st.sampled_from(["known", "unknown"])),
    )
    waveform = draw(st.sampled_from([Pulse(), SineBurst(5_000), None]))
    tape = Tape()
    if draw(st.booleans()):
        tape.start(Programme(**draw(whole_programmes)))
    else:
        tape.lose()
    told = draw(st.lists(st.sampled_from(CHANNELS), unique=True))
    seen = set()
    for _ in range(draw(st.integers(0, 3))):
        columns: dict[str, Any] = {
            name: [draw(st.none() | st.integers(20, 200))] * 15 for name in told
        }
        seen |= {name for name, (value, *_) in columns.items() if value is not None}
        if columns:
            tape.samples(**columns)
        if draw(st.booleans()):
            tape.lose()
    if draw(st.booleans()) or not tape.frames:
        tape.end()
    return tape, reports, waveform, seen


@settings(max_examples=300)
@given(sessions())
def test_every_figure_was_measured(session: tuple[Tape, Reports, Any, set[str]]) -> None:
    tape, reports, waveform, seen = session
    found = summarise(
        tape.read(BOOTED_AT + timedelta(hours=1)),
        CLOCKS,
        silent=False,
        waveform=waveform,
        reports=reports,
    )
    told = {name for name, value in (found.programme or {}).items() if value is not None}
    _check_programme(told, reports)
    if reports.current != "known":
        seen = seen - {"amplitude_ua", "amplitude_delivered_ua", "charge_uc"}
    if reports.current == "unknown":
        seen = seen - {"native_level"}
    figures = asdict(found)
    for name, (some, members) in RESTS_ON.items():
        assert figures[name] is None or (seen & some and members <= told), name
    for name, members in BY_INTEGRAL.items():
        is_counted = COUNTED[name] in seen
        is_summed = seen & {"amplitude_ua", "amplitude_delivered_ua"} and members <= told
        assert figures[name] is None or is_counted or is_summed, name
    if figures["delivered_charge_uc"] is not None and "charge_uc" not in seen:
        assert waveform is not None
    _check_time(found, reports, seen)


def _check_programme(told: set[str], reports: Reports) -> None:
    if reports.current != "known":
        assert not told & {"amplitude_ua", "sensory_threshold_ua"}
    assert reports.current != "unknown" or "native_level" not in told
    assert reports.frequency == "known" or "frequency_hz" not in told
    assert reports.pulse_width == "known" or "pulse_width_us" not in told


def _check_time(found: Summary, reports: Reports, seen: set[str]) -> None:
    strength = seen & {"amplitude_ua", "amplitude_delivered_ua", "native_level"}
    if found.stimulating_s is None:
        assert not strength
    elif not strength:
        assert found.programme is not None  # the start is one of its marks
        assert found.completeness == 1 or reports.current == "unknown"
