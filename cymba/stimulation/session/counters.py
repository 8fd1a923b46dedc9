"""What a device's own counters of charge and pulses say of a session.

Some count a session, some the device's life, and the values do not show which. So the first value
in a session is its zero, unless the start frame says where the counters stood. Within a boot a
counter never falls; one that does is marked, and its highest value counts. A lower value after a
reboot means that it began anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cymba.stimulation.session.timeline import Timeline

COUNTERS = ("charge_uc", "pulses")


@dataclass(frozen=True, slots=True)
class Count:
    total: float
    falls: bool  # within a boot


def counts_of(samples: Timeline, at_start: Mapping[str, int]) -> dict[str, Count]:
    """By channel; `at_start` is where the start says that they stood."""
    counted = {name: _count(samples, name, at_start.get(name)) for name in COUNTERS}
    return {name: count for name, count in counted.items() if count is not None}


def _count(samples: Timeline, channel: str, stood_at: int | None) -> Count | None:
    values = samples.columns.get(channel)
    if values is None or np.isnan(values).all():
        return None
    known = ~np.isnan(values)
    boots = samples.boot[known]
    total, falls, low = 0.0, False, float(values[known][0]) if stood_at is None else float(stood_at)
    reached = low
    for boot in dict.fromkeys(boots.tolist()):
        of_boot = values[known][boots == boot]
        falls = falls or bool((np.diff(of_boot) < 0).any())
        if of_boot[0] < reached:
            total, low = total + reached - low, 0.0
        reached = float(of_boot.max())
    return Count(total + reached - low, falls)
