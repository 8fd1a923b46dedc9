"""The channels that a frame may carry: one row here adds a channel everywhere.

Units are UCUM. A reading is in `unit`, which is part of the channel's name, from the device to the
API. People see `reading / scale` in `shown_unit`. `low` and `high` bound what a sensor of this kind
can measure. A frame with a value outside goes to quarantine as `impossible-value`; values are never
clamped.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Channel:
    name: str  # on the wire and in the API
    title: str
    shown_unit: str  # UCUM, that people read it in
    unit: str  # UCUM, of the integer on the wire and of the value in the API
    scale: int  # so many units are one shown unit
    low: int
    high: int
    rate_hz: float  # nominal
    # One value for each sample, or one for each heart beat.
    layout: Literal["sampled", "per_beat"] = "sampled"
    # How a column is downsampled: by its extremes, or by its last value if it only grows.
    cumulative: bool = False


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel("amplitude_ua", "Amplitude set", "mA", "uA", 1000, 0, 60_000, 1),
        Channel("amplitude_delivered_ua", "Amplitude delivered", "mA", "uA", 1000, 0, 60_000, 1),
        Channel("native_level", "Level", "{level}", "{level}", 1, 0, 1_000, 1),
        Channel("impedance_ohm", "Impedance", "kOhm", "Ohm", 1000, 0, 1_000_000, 1),
        Channel("peak_voltage_mv", "Peak voltage", "V", "mV", 1000, 0, 200_000, 1),
        Channel(
            "charge_uc", "Cumulative charge", "mC", "uC", 1000, 0, 2**31 - 1, 0.1, cumulative=True
        ),
        Channel("pulses", "Pulses", "{pulse}", "{pulse}", 1, 0, 2**32 - 1, 0.1, cumulative=True),
        Channel("heart_rate_bpm", "Heart rate", "/min", "/min", 1, 20, 300, 1),
        Channel("rr_ms", "RR interval", "ms", "ms", 1, 200, 3_000, 1, layout="per_beat"),
        Channel("spo2_pct", "Oxygen saturation", "%", "%", 1, 0, 100, 1 / 60),
        Channel("skin_temp_mc", "Skin temperature", "Cel", "mCel", 1000, -20_000, 60_000, 1 / 60),
        Channel("battery_pct", "Battery", "%", "%", 1, 0, 100, 1 / 60),
        Channel("signal_dbm", "Signal strength", "{dBm}", "{dBm}", 1, -150, 20, 1 / 60),
    )
}
