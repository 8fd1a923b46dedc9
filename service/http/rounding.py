"""How many decimals the numbers of answers have: as many as are meaningful.

Numbers are stored and computed in full, and rounded by their names when an answer is written
(`writing`). The document says so for each field. A test checks that every number of an answer is in
one of the two lists below.
"""

import math
from typing import Any, Final

DECIMALS: Final = {
    # of sessions and their uploads
    "completeness": 4,
    "share": 4,
    "stimulating_s": 3,
    "contact_lost_s": 3,
    "delivered_charge_uc": 3,
    "mean_amplitude_ua": 1,
    "mean_native_level": 2,
    "least_amplitude_ua": 1,
    "most_amplitude_ua": 1,
    "least_native_level": 2,
    "most_native_level": 2,
    "mean_amplitude_over_threshold": 3,
    "mean_impedance_ohm": 1,
    "start_impedance_ohm": 1,
    "first_ohm": 1,
    "recent_ohm": 1,
    "rise_per_week": 3,
    "heart_rate_before_bpm": 1,
    "heart_rate_during_bpm": 1,
    "rmssd_ms": 1,
    "rr_artefact_share": 4,
    # of days, weeks and months
    "stimulating_min": 2,
    "delivered_charge_mc": 4,
    "adherence": 4,
    # of programmes
    "rms_density_ma_per_cm2": 3,
    # of findings, courses and trials: points of a scale, log odds, shares, and what they rest on
    "effect": 3,
    "low": 3,
    "high": 3,
    "contrast": 3,
    "p": 6,
    "sequential_p": 6,
    "follows_p": 6,
    "exposure_coverage": 4,
    "outcome_coverage": 4,
    "slope": 3,
    "mean": 3,
    "change_ratio": 3,
    "change_points": 3,
    "points_low": 3,
    "points_high": 3,
    "smallest_difference": 3,
    "sd": 3,
    "phi": 3,
    "power": 2,
    "minimal_difference": 3,
    "rated": 3,
    "rated_again": 3,
    "used": 3,
    # of the days behind a finding
    "exposure": 4,
    "outcome": 4,
    "partial_exposure": 4,
    "partial_outcome": 4,
    "residual": 4,
    "leverage": 4,
    "correlation": 3,
    "standard_deviation": 4,
    "largest": 3,
    "largest_leverage": 4,
    # of the service itself
    "took_ms": 1,
    "quiet_s": 1,
}
"""By the name of a field: to how many decimals it is rounded."""

EXACT: Final = frozenset(
    {
        "frequency_hz",  # of a programme
        "pulse_width_us",  # from here on limits
        "amplitude_ua",
        "native_level",
        "ramp_ua_per_s",
        "duration_s",
        "daily_s",
        "daily_sessions",
        "phase_charge_uc",
        "electrode_cm2",  # of a model
        "compliance_v",
        "carrier_hz",
        "default",
        "values",  # of telemetry
        "sleep_hours",  # from here on the diary
        "value",
        "minimal_important_difference",
        "max_frames_per_s",  # an acknowledgement's: the device protocol's
    }
)
"""Numbers that leave as they were set, measured or written down."""


SCALES: Final = {name: 10.0**places for name, places in DECIMALS.items()}
LARGEST: Final = 1e9  # larger numbers have no decimals left to round
_SIGNED: Final = frozenset({"effect", "slope", "change_ratio"})
_ENDS: Final = {"low": math.floor, "high": math.ceil}
_PROBABILITIES: Final = frozenset({"p", "sequential_p", "follows_p"})
DECISIVE: Final = _SIGNED | _ENDS.keys() | _PROBABILITIES
_LEVELS: Final = (0.01, 0.02, 0.05, 0.08, 0.1)  # at which something is decided
_CLOSE: Final = 1e-6  # steps that a product of floats may be off


def decided(name: str, value: float) -> int:
    """The number in whole steps of its last decimal, where something is decided by the number.

    Rounding must not claim more than the number does. The ends of an interval go outwards. No
    number changes its sign or becomes 0. No p reaches a level that it was not at.
    """
    scaled = value * SCALES[name]
    steps = round(scaled)
    if name in _PROBABILITIES:
        level = next((level for level in _LEVELS if steps == round(level * SCALES[name])), value)
        if value != level:  # rounding moved it onto the level
            steps += 1 if value > level else -1
    elif name in _ENDS and abs(scaled - steps) > _CLOSE:
        steps = _ENDS[name](scaled)
    if steps == 0 and value != 0:
        steps = 1 if value > 0 else -1
    return steps


def describe(schema: dict[str, Any]) -> None:
    """Say in a schema of the document which of its numbers are rounded, and how far."""
    for name, described in schema.get("properties", {}).items():
        kinds = described.get("type")
        if name in DECIMALS and "number" in ([kinds] if isinstance(kinds, str) else kinds or ()):
            before = f"{described['description']}. " if "description" in described else ""
            described["description"] = f"{before}Rounded to {DECIMALS[name]} decimals"
