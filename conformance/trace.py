"""What was said by a device and to it, in the order in which it was heard."""

from dataclasses import dataclass
from typing import Literal

Expected = Literal["refused", "reported", "ignored"]
"""What a device has to do with a programme: refuse it, apply or refuse it, or pass it over."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The protocol's times, in seconds, and what is allowed for the way to the listener.

    `slack` is the share by which an interval may seem shorter than it was, `grace_s` what a
    message may take.
    """

    resend_s: float = 30.0
    resend_at_most_s: float = 600.0
    jitter: float = 0.25
    answer_s: float = 5.0  # awaited after presence, before anything is sent again
    exchange_within_s: float = 60.0  # of a connect; the page names no number
    reconnect_s: float = 0.5  # the shortest first wait
    sent_is_stale_s: float = 5.0
    report_within_s: float = 10.0
    slack: float = 0.1
    grace_s: float = 2.0

    def resend_due_s(self, doublings: int) -> float:
        """The latest moment of a resend, after the one before."""
        delay_s = min(self.resend_s * 2.0 ** min(doublings, 16), self.resend_at_most_s)
        return delay_s * (1 + self.jitter) * (1 + self.slack) + self.grace_s


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the device, or the broker's retained copy of one."""

    at_s: float
    topic: str  # after `cymba/v1/{device}/`; the whole topic where it begins otherwise
    payload: bytes
    qos: int
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A message to the device on `down/{subject}`; `expected` goes with a programme of a drill."""

    at_s: float
    subject: str
    payload: bytes
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """The broker was asked for all that it retains of the device."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """The device's connection was cut, by taking its client id."""

    at_s: float


@dataclass(frozen=True, slots=True)
class QosRaised:
    """The broker gave a message a higher QoS than its publisher did, so nobody can see that one."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    at_s: float


Entry = Heard | Told | Probed | Evicted | QosRaised | Ended
