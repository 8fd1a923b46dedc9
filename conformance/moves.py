"""Tells a device of other brokers, and judges where it goes (R44).

First a stranger signs that. Then the server does, and nobody answers at the place: a device that
goes there comes back. One that stays knows no such message, which is allowed.
"""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conformance.judgement import Tally
from conformance.story import PresenceHeard, Relocating, Story
from conformance.trace import Expected, ProtocolTimes
from cymba.database import utc_now
from cymba.devices.clocks import to_ms
from cymba.devices.messages import Presence, Relocation
from cymba.devices.signing import sign

NOBODY = "mqtts://127.0.0.1:9"  # of the device itself

Step = tuple[Expected, Relocation]


class Moves:
    """One after the other, each once it is seen what became of the one before."""

    def __init__(
        self, device_id: str, timing: ProtocolTimes, key: Ed25519PrivateKey | None
    ) -> None:
        """Without the server's key there is only what a stranger signs."""
        self.over = False
        self._device_id, self._timing = device_id, timing
        self._steps = self._make(key)
        self._expected: Expected | None = None
        self._since_s = 0.0
        self._left = self._back = False

    def hear(self, presence: Presence) -> None:
        if self._expected == "followed":
            self._back = self._left and presence.online
            self._left = self._left or not presence.online

    def next(self, now_s: float) -> Step | None:
        if self.over or not self._is_seen(now_s - self._since_s):
            return None
        step = next(self._steps, None)
        self.over, self._since_s = step is None, now_s
        self._expected = None if step is None else step[0]
        return step

    def _is_seen(self, passed_s: float) -> bool:
        if self._expected == "ignored":
            return passed_s > self._timing.grace_s
        if self._expected == "followed" and not self._back:
            awaited_s = self._timing.back_within_s if self._left else self._timing.report_within_s
            return passed_s > awaited_s
        return True

    def _make(self, key: Ed25519PrivateKey | None) -> Iterator[Step]:
        yield "ignored", self._signed(Ed25519PrivateKey.generate())
        if key is not None:
            yield "followed", self._signed(key)

    def _signed(self, key: Ed25519PrivateKey) -> Relocation:
        return sign(key, self._device_id, Relocation(at=round(to_ms(utc_now())), broker=NOBODY))


def judge(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    told = [one for one in story.all(Relocating) if one.expected is not None]
    said = [one for one in story.all(PresenceHeard) if not one.retained]
    for number, one in enumerate(told):
        ends_s = told[number + 1].at_s if number + 1 < len(told) else story.ended_s
        after = [each for each in said if one.at_s < each.at_s <= ends_s]
        left_s = next((each.at_s for each in after if not each.presence.online), None)
        if left_s is None:
            continue
        if one.expected == "ignored":
            tally.breaks("R44", "it left for a broker that a stranger named")
        elif any(each.connects and each.at_s > left_s for each in after):
            tally.keeps("R44")
        elif ends_s - left_s >= timing.back_within_s:
            tally.breaks(
                "R44",
                f"it left for a broker that does not answer, and was not back after "
                f"{ends_s - left_s:.0f} s",
            )
