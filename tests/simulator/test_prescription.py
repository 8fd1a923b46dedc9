from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from cymba.devices.messages import Desired, Programme, ReportedState
from cymba.devices.models import MODELS, Model, usual_programme
from cymba.devices.signing import sign
from simulator.physical import electrode_of, physical
from simulator.physiology import ELECTRODES, draw_body
from simulator.prescription import Prescription, titrate
from simulator.seeding import stream

KEY = Ed25519PrivateKey.generate()
MODEL = MODELS["ear_cymba"]
DEVICE = "device-0001"
NOW_MS = 1_790_000_000_000
BODY = draw_body(ELECTRODES["ear_cymba"], stream(1, "body"))


def programme(**changes: object) -> Programme:
    return replace(usual_programme(MODEL), **{"amplitude_ua": 600, "duration_s": 900, **changes})


def desired(ver: int = 1, *, key: Ed25519PrivateKey = KEY, **changes: object) -> Desired:
    fields: dict[str, Any] = {"programme": programme(), "limits": {}, "expires": None}
    return sign(key, DEVICE, Desired(ver=ver, **{**fields, **changes}))


@pytest.fixture
def prescription() -> Prescription:
    return Prescription(MODEL)


def receive(prescription: Prescription, message: Desired, device: str = DEVICE) -> ReportedState:
    return prescription.receive(message, device, KEY.public_key(), NOW_MS)


def session_programme(prescription: Prescription, now_ms: float = NOW_MS) -> Programme:
    return prescription.for_session(BODY, now_ms, stream(1, "titration"))[0]


def test_a_signed_programme_is_applied_and_its_current_is_a_ceiling(
    prescription: Prescription,
) -> None:
    before = session_programme(prescription)
    assert (before.amplitude_ua or 0) > 600
    reported = receive(prescription, desired())
    assert reported == ReportedState(ver=1, applied=True)
    after = session_programme(prescription)
    assert (after.amplitude_ua, after.duration_s) == (600, 900)


def test_what_a_person_finds_pleasant_is_not_exceeded(prescription: Prescription) -> None:
    pleasant_ua = session_programme(prescription).amplitude_ua
    receive(prescription, desired(programme=programme(amplitude_ua=8_000)))
    assert session_programme(prescription).amplitude_ua == pleasant_ua


@pytest.mark.parametrize(
    ("message", "device", "code"),
    [
        (desired(key=Ed25519PrivateKey.generate()), DEVICE, "bad-signature"),
        (replace(desired(), signature=None), DEVICE, "bad-signature"),
        (replace(desired(), ver=9), DEVICE, "bad-signature"),
        (desired(), "device-0002", "bad-signature"),
        (desired(expires=NOW_MS), DEVICE, "expired"),
        (desired(programme=programme(amplitude_ua=9_000)), DEVICE, "beyond-limits"),
        (desired(limits={"amplitude_ua": 500}), DEVICE, "beyond-limits"),
        (desired(limits={"amplitude_ua": 50_000}), DEVICE, "beyond-limits"),
        (desired(limits={"warp": 1}), DEVICE, "beyond-limits"),
    ],
)  # fmt: skip
def test_a_programme_that_cannot_be_trusted_is_refused(
    prescription: Prescription, message: Desired, device: str, code: str
) -> None:
    before = session_programme(prescription)
    reported = receive(prescription, message, device)
    assert (reported.applied, reported.code) == (False, code)
    assert session_programme(prescription) == before
    assert prescription.version == 0


def test_a_device_without_a_key_believes_nobody(prescription: Prescription) -> None:
    reported = prescription.receive(desired(), DEVICE, None, NOW_MS)
    assert reported.code == "bad-signature"


def test_an_older_version_is_passed_over_and_the_held_one_only_reported_again(
    prescription: Prescription,
) -> None:
    receive(prescription, desired(5))
    held = session_programme(prescription)
    for ver in (4, 5):
        again = receive(prescription, desired(ver, programme=programme(duration_s=60)))
        assert again == ReportedState(ver=5, applied=True)
    assert session_programme(prescription) == held


def test_a_device_that_ignores_versions_goes_back() -> None:
    broken = Prescription(MODEL, ignores_versions=True)
    receive(broken, desired(5))
    receive(broken, desired(4, programme=programme(duration_s=60)))
    assert session_programme(broken).duration_s == 60


def test_a_programme_ends_when_it_expires_and_its_limits_do_not(
    prescription: Prescription,
) -> None:
    limits = {"amplitude_ua": 700.0}
    receive(prescription, desired(expires=NOW_MS + 1_000, limits=limits))
    assert session_programme(prescription).duration_s == 900
    later = session_programme(prescription, NOW_MS + 1_000)
    assert later.duration_s == usual_programme(MODEL).duration_s
    assert later.amplitude_ua == 700


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_titration_ends_between_what_is_felt_and_what_hurts(model: Model) -> None:
    for at in range(200):
        body = draw_body(electrode_of(model), stream(1, "body", at))
        found = titrate(physical(model), body, stream(1, "t", at))
        step_ua = physical(model).amplitude_step_ua or 1
        assert found.sensory_threshold_ua <= found.amplitude_ua
        assert found.amplitude_ua % step_ua == 0
        assert found.amplitude_ua <= 2 * found.sensory_threshold_ua
