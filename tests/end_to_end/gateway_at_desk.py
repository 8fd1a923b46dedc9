"""`cymba gateway run` beside a pretended band, its keys from standard input.

Two keys more than a keyboard has: `B` takes the band out of reach, `R` brings it back. Each frame
that is on the disk is noted in `made.log`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import Frame
from firmware.flash import Pace
from gateway.config import read_config
from gateway.radio.pretend import PretendBand, PretendRadio
from gateway.store import FrameStore, Numbers
from ops import gateway_run

HASTY = Pace(resend_after_s=1.5, resend_at_most_s=3.0, reconnect_at_most_s=1.0)
folder = Path(sys.argv[1])
band = PretendBand()
write = FrameStore.write


def noted(self: FrameStore, make: Callable[[Numbers], Frame], *, boot: int) -> Frame:
    frame = write(self, make, boot=boot)
    with (folder / "made.log").open("a") as log:
        log.write(f"{frame.store} {frame.seq} {pack(frame).digest.hex()}\n")
    return frame


def keys() -> Iterator[str]:
    while key := os.read(0, 1).decode():
        if key == "B":
            band.break_link()
        elif key == "R":
            band.is_within_reach = True
        else:
            yield key


FrameStore.write = noted  # type: ignore[method-assign]
sys.exit(not gateway_run.run(folder, read_config(folder), PretendRadio(band), keys(), pace=HASTY))
