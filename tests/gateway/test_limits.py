"""What may be started: the narrowest of all limits, whether there is a network or not."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from cymba.devices.messages import Desired, Programme
from cymba.devices.models import MODELS, no_output_limit, usual_programme, without_output
from cymba.devices.signing import show_public_key, sign
from cymba.stimulation.wire.messages import to_json
from firmware.programme import HeldProgramme
from gateway.config import GatewayConfig
from gateway.limits import Allowed, NotAllowed, allowance
from gateway.store import FrameStore

KEY = Ed25519PrivateKey.generate()
NOW_MS = 1_800_000_000_000
CONFIG = GatewayConfig(
    device_id="band-0001", secret="a secret", model=MODELS["neck_band"],
    programme_key=show_public_key(KEY), server="mqtt://localhost", kind="neck-band", address="AA",
)  # fmt: skip
USUAL: dict[str, Any] = {"site": "neck", "side": "both", "native_level": 0, "duration_s": 240}


def desired(ver: int = 1, limits: dict[str, float] | None = None, **programme: Any) -> Desired:
    expires = programme.pop("expires", None)
    version = Desired(
        ver=ver, programme=Programme(**USUAL | programme), limits=limits or {}, expires=expires
    )
    return sign(KEY, CONFIG.device_id, version)


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    return FrameStore(tmp_path)


def allowed(store: FrameStore, config: GatewayConfig = CONFIG) -> Allowed | NotAllowed:
    return allowance(config, store, 9, NOW_MS)


def test_without_a_version_the_models_own_limits_hold(store: FrameStore) -> None:
    assert allowed(store) == Allowed(highest_level=9, longest_s=240)


@pytest.mark.parametrize(
    ("limits", "programme", "own", "level", "seconds"),
    [
        ({"native_level": 3}, {}, {}, 3, 240),
        ({}, {"native_level": 4}, {}, 4, 240),
        ({}, {}, {"highest_level": 2}, 2, 240),
        ({"native_level": 5}, {"native_level": 4}, {"highest_level": 6}, 4, 240),
        ({}, {"duration_s": 600}, {}, 9, 600),
        ({"duration_s": 120}, {"duration_s": 120}, {}, 9, 120),
        ({}, {}, {"longest_s": 60}, 9, 60),
        ({}, {}, {"longest_s": 86_400}, 9, 240),  # one's own never widens
        ({}, {"native_level": 8, "expires": NOW_MS - 1}, {}, 9, 240),
        ({"native_level": 3}, {"native_level": 3, "expires": NOW_MS - 1}, {}, 3, 240),
    ],
)
def test_the_narrowest_holds(store, limits, programme, own, level, seconds) -> None:
    store.hold(to_json(desired(limits=limits, **programme)))
    assert allowed(store, replace(CONFIG, **own)) == Allowed(level, seconds)


@pytest.mark.parametrize("limits", [{"native_level": 0}, {"daily_sessions": 0}])
def test_a_limit_of_no_output_allows_none(store: FrameStore, limits) -> None:
    store.hold(to_json(desired(limits=limits)))
    assert isinstance(allowed(store), NotAllowed)


def test_a_red_flag_or_a_hand_over_is_applied_and_allows_nothing(store: FrameStore) -> None:
    model = CONFIG.model
    version = Desired(
        ver=1, programme=without_output(usual_programme(model)), limits=no_output_limit(model)
    )
    held = HeldProgramme(model)
    signed = sign(KEY, CONFIG.device_id, version)
    assert held.receive(signed, CONFIG.device_id, KEY.public_key(), NOW_MS).applied
    store.hold(to_json(signed))
    assert isinstance(allowed(store), NotAllowed)


def test_limits_hold_without_a_network_and_over_runs(tmp_path: Path) -> None:
    first = FrameStore(tmp_path)
    first.hold(to_json(desired(limits={"native_level": 2})))
    first.close()
    assert allowed(FrameStore(tmp_path)) == Allowed(highest_level=2, longest_s=240)


def test_what_was_used_of_a_day_is_taken_from_it(store: FrameStore) -> None:
    store.note_spent(NOW_MS - 1000, 3_500.0)
    assert allowed(store) == Allowed(highest_level=9, longest_s=100)
    store.note_spent(NOW_MS - 1000, 100.0)
    assert isinstance(allowed(store), NotAllowed)
    assert isinstance(allowance(CONFIG, store, 9, NOW_MS + 86_400_000), Allowed)


def test_limits_that_were_tampered_with_allow_nothing(store: FrameStore) -> None:
    version = desired(limits={"native_level": 2})
    store.hold(to_json(replace(version, limits={"native_level": 9})))
    found = allowed(store)
    assert isinstance(found, NotAllowed)
    assert "signature" in found.because
