import numpy as np
import pytest

from simulator import physiology
from simulator.physiology import ELECTRODES, Body, draw_body
from simulator.seeding import stream

CYMBA = ELECTRODES["ear_cymba"]


@pytest.fixture(scope="module")
def people() -> list[Body]:
    return [draw_body(CYMBA, stream(1, "body", at)) for at in range(2_000)]


def test_impedances_lie_around_two_to_four_kilohm(people: list[Body]) -> None:
    ohm = np.array([body.impedance_ohm for body in people])
    assert 2_600 < np.median(ohm) < 3_200
    assert np.mean((ohm > 2_000) & (ohm < 4_500)) > 0.9


def test_responses_have_the_published_spread(people: list[Body]) -> None:
    responses = np.array([body.response_bpm for body in people])
    assert responses.mean() == pytest.approx(-0.5, abs=0.25)
    assert responses.std() == pytest.approx(3.0, abs=0.3)
    assert 0.05 < np.mean(responses == 0) < 0.15
    assert all(60 <= body.recovery_s <= 120 for body in people)


def test_contact_settles_and_then_dries() -> None:
    body = draw_body(CYMBA, stream(1, "body"))
    falls, rises = [], []
    for at in range(60):
        ohm = physiology.contact_impedance(body, 3_600, stream(1, "contact", at))
        falls.append(np.median(ohm[100:140]) / np.median(ohm[:3]))
        rises.append((np.median(ohm[3_400:]) / np.median(ohm[120:300]) - 1) / 55)
    assert np.median(falls) == pytest.approx(0.91, abs=0.03)
    assert 0.005 <= np.median(rises) <= 0.02


def test_the_heart_answers_to_stimulation_and_recovers() -> None:
    body = draw_body(CYMBA, stream(1, "body"))
    body = Body(**{**{f: getattr(body, f) for f in Body.__slots__}, "response_bpm": -6.0})
    drive = np.zeros(3_600)
    drive[600:2_400] = 1.0
    rates = np.mean(
        [physiology.heart_rate(body, drive, stream(1, "heart", at)) for at in range(100)], axis=0
    )
    before, during, after = rates[:600].mean(), rates[1_200:2_400].mean(), rates[3_200:].mean()
    assert during - before == pytest.approx(-6.0, abs=0.8)
    assert after == pytest.approx(before, abs=0.8)
    # After one time constant it is on its way, and neither there nor gone.
    passing = rates[2_400 + int(body.recovery_s)] - during
    assert 1.5 < passing < 5.5


def test_beats_fall_as_the_rate_says() -> None:
    body = draw_body(CYMBA, stream(1, "body"))
    rate = np.full(600, 72.0)
    at_s, intervals_ms = physiology.beats(body, rate, stream(1, "beats"))
    assert len(at_s) == pytest.approx(720, abs=2)
    assert np.all(np.diff(at_s) > 0)
    assert np.all((intervals_ms >= 200) & (intervals_ms <= 3_000))
    assert intervals_ms.mean() == pytest.approx(60_000 / 72, rel=0.01)


def test_nothing_is_read_of_no_time() -> None:
    body = draw_body(CYMBA, stream(1, "body"))
    assert physiology.heart_rate(body, np.zeros(0), stream(1, "x")).size == 0
    at_s, intervals_ms = physiology.beats(body, np.full(1, 60.0), stream(1, "x"))
    assert at_s.size == intervals_ms.size == 0


def test_the_electrode_comes_off_about_once_an_hour() -> None:
    counts = [len(physiology.lead_off_times(3_600, stream(1, "off", at))) for at in range(1_000)]
    assert np.mean(counts) == pytest.approx(1.0, abs=0.12)
    put_back = [physiology.reseated(stream(1, "back", at)) is not None for at in range(1_000)]
    assert np.mean(put_back) == pytest.approx(0.7, abs=0.05)
