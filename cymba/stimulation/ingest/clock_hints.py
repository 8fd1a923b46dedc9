"""Clock hints: what the arrival of frames says about the clocks of their devices."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.clocks import ARRIVAL_ALLOWANCE_MS, AnchorKind, to_ms
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.wire.received import ReceivedFrame
from cymba.stimulation.wire.unreadable import Unreadable

# A device whose clock is further ahead of the arrival than this does not know the date.
_AHEAD = timedelta(days=1)
TIGHTER_MS = 500.0
LATER_MS = 1_000_000.0  # a clock that is off by 100 ppm drifts by 0.1 s in this time
_to_ms = lru_cache(256)(to_ms)  # messages that arrive together share their time


class Arrivals:
    """The anchors of one batch: for each boot the tightest arrival, and the device's own clock."""

    def __init__(self) -> None:
        self._arrived: dict[tuple[BootKey, bool], Anchor] = {}
        self._claimed: dict[tuple[BootKey, int], Anchor] = {}

    def add(
        self, device_id: str, frame: ReceivedFrame, arrived_at: datetime, settled: bool
    ) -> None:
        """`settled` says that the message did not wait in the broker."""
        if frame.sent is None and frame.utc is None:
            return
        boot = BootKey(device_id, frame.store, frame.boot)
        arrived_ms = to_ms(arrived_at)
        if frame.sent is not None:
            known = self._arrived.get((boot, settled))
            if known is None or arrived_ms - frame.sent < known.wall_ms - known.up_ms:
                kind: AnchorKind = "arrival" if settled else "queued"
                self._arrived[boot, settled] = Anchor(kind, frame.sent, arrived_ms)
        if frame.utc is not None and frame.utc <= to_ms(arrived_at + _AHEAD):
            # One for each second to which the clock was set, the earliest of them.
            second = (frame.utc - frame.up) // 1000
            known = self._claimed.get((boot, second))
            if known is None or frame.up < known.up_ms:
                self._claimed[boot, second] = Anchor("device_clock", frame.up, frame.utc)

    def anchors(self) -> list[BootAnchor]:
        offered = (*self._arrived.items(), *self._claimed.items())
        return [BootAnchor(boot, anchor) for (boot, _), anchor in offered]


def clock_hints_of(deliveries: Iterable[Delivery]) -> list[BootAnchor]:
    """The anchors that these deliveries offer."""
    arrivals = Arrivals()
    for delivery in deliveries:
        if not isinstance(delivery.read, Unreadable):
            arrivals.add(delivery.device_id, delivery.read, delivery.arrived_at, delivery.settled)
    return arrivals.anchors()


class AnchorCache:
    """The anchors that this process committed lately, so that it looks up only what is new.

    Not thread-safe.
    """

    MOST_BOOTS = 100_000

    def __init__(self) -> None:
        self._last = lru_cache(self.MOST_BOOTS)(_nothing)  # by boot and kind

    def news(self, anchors: Iterable[BootAnchor]) -> list[BootAnchor]:
        news: list[BootAnchor] = []
        for boot, anchor in anchors:
            known = self._last(boot).get(anchor.kind)
            if known is None or _is_news(known, anchor.up_ms, anchor.wall_ms):
                news.append(BootAnchor(boot, anchor))
        return news

    def may_be_news(
        self,
        device_id: str,
        frames: Sequence[ReceivedFrame],
        arrived_at: Sequence[datetime],
        *,
        settled: bool,
    ) -> bool:
        """Whether an anchor that one of these frames offers may be news. They are of one boot. If
        none of a batch's frames may be, none of the batch's anchors is."""
        first = frames[0]
        last = self._last((device_id, first.store, first.boot))
        kind: AnchorKind = "arrival" if settled else "queued"
        arrived, claimed = last.get(kind), last.get("device_clock")
        for frame, at in zip(frames, arrived_at, strict=True):
            sent, utc = frame.sent, frame.utc
            if sent is not None and (arrived is None or _is_news(arrived, sent, _to_ms(at))):
                return True
            if utc is not None and (claimed is None or _is_news(claimed, frame.up, utc)):
                return True
        return False

    def remember(self, anchors: Iterable[BootAnchor]) -> None:
        """Call it once they are committed."""
        for boot, anchor in anchors:
            self._last(boot)[anchor.kind] = anchor


def _is_news(known: Anchor, up_ms: float, wall_ms: float) -> bool:
    """Whether another anchor of the kind of `known` says more than that."""
    kind, known_up_ms, known_wall_ms, _ = known
    passed_ms = up_ms - known_up_ms
    gain = passed_ms - (wall_ms - known_wall_ms)
    if gain >= TIGHTER_MS or not -LATER_MS < passed_ms < LATER_MS:
        return True
    if kind == "arrival":
        return gain < -ARRIVAL_ALLOWANCE_MS  # one of the two is wrong: all of them tell which
    return kind == "device_clock" and gain <= -TIGHTER_MS


def _nothing(_boot: tuple[str, int, int]) -> dict[AnchorKind, Anchor]:
    return {}
