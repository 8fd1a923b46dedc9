"""Current and charge of a stimulus, from the numbers of its programme.

Charge is what flows in one phase; both phases of a symmetric pulse carry it, in turn. The
formulas are those of Merrill, Bikson and Jefferys, "Electrical stimulation of excitable tissue",
J. Neurosci. Methods 141 (2005) 171-198, for rectangular pulses, and plain integrals of a sine.
"""

import math
from typing import Annotated

from msgspec import Meta, Struct


class Pulse(Struct, frozen=True, tag_field="shape", tag="pulse", forbid_unknown_fields=True):
    """Rectangular pulses: one phase, or two that balance each other."""

    phases: Annotated[int, Meta(ge=1, le=2)] = 2


class SineBurst(
    Struct, frozen=True, tag_field="shape", tag="sine_burst", forbid_unknown_fields=True
):
    """Bursts of a sine; the pulse width is the length of a burst."""

    carrier_hz: Annotated[float, Meta(gt=0, le=1e6)]


Waveform = Pulse | SineBurst


def charge_per_phase_uc(amplitude_ua: float, pulse_width_us: float) -> float:
    """Q = I · PW of a rectangular pulse, in µC."""
    return amplitude_ua * pulse_width_us / 1e6


def sine_phase_charge_uc(amplitude_ua: float, carrier_hz: float) -> float:
    """Q = I / (π · f), the integral over half a period of a sine of peak `amplitude_ua`, in µC."""
    return amplitude_ua / (math.pi * carrier_hz)


def phase_charge_uc(waveform: Waveform, amplitude_ua: float, pulse_width_us: float) -> float:
    """The charge of one phase of `waveform`, in µC."""
    if isinstance(waveform, SineBurst):
        return sine_phase_charge_uc(amplitude_ua, waveform.carrier_hz)
    return charge_per_phase_uc(amplitude_ua, pulse_width_us)


def rms_current(
    waveform: Waveform, amplitude_ua: float, frequency_hz: float, pulse_width_us: float
) -> float:
    """I · sqrt(m · f · PW) in µA: m = 1 or 2 phases of a pulse, 1/2 for a sine."""
    m = 0.5 if isinstance(waveform, SineBurst) else waveform.phases
    return amplitude_ua * math.sqrt(m * frequency_hz * pulse_width_us * 1e-6)


def rms_current_density(
    waveform: Waveform,
    amplitude_ua: float,
    frequency_hz: float,
    pulse_width_us: float,
    area_cm2: float,
) -> float:
    """The rms current over the electrode's area, in mA/cm²."""
    return rms_current(waveform, amplitude_ua, frequency_hz, pulse_width_us) / 1000 / area_cm2
