"""The messages of a device and to it, in the order in which they were heard."""

from dataclasses import dataclass
from typing import Literal

Expected = Literal["refused", "reported", "ignored", "followed"]
"""What a device must do with a programme: refuse it, apply or refuse it, or ignore it. With another
broker's name: ignore it, or go there."""


@dataclass(frozen=True, slots=True)
class ProtocolTimes:
    """The protocol's times in seconds, and the tolerances of the listener.

    `slack` is the share by which an interval may seem shorter than it was, `grace_s` how long a
    message may take.
    """

    resend_s: float = 30.0
    resend_at_most_s: float = 600.0
    jitter: float = 0.25
    answer_s: float = 5.0  # waited for after presence, before anything is resent
    exchange_within_s: float = 60.0  # of a connect; the protocol names no number
    reconnect_s: float = 0.5  # the shortest first wait
    sent_is_stale_s: float = 5.0
    report_within_s: float = 10.0
    back_within_s: float = 60.0  # from a broker that does not answer: five attempts
    slack: float = 0.1
    grace_s: float = 2.0

    def resend_due_s(self, doublings: int) -> float:
        """How long after a sending its resend is due, at the latest."""
        delay_s = min(self.resend_s * 2.0 ** min(doublings, 16), self.resend_at_most_s)
        return delay_s * (1 + self.jitter) * (1 + self.slack) + self.grace_s


@dataclass(frozen=True, slots=True)
class FromDevice:
    """A message of the device, or its retained copy."""

    at_s: float
    topic: str  # after `cymba/v1/{device}/`; else the whole topic
    payload: bytes
    qos: int
    retained: bool = False


@dataclass(frozen=True, slots=True)
class ToDevice:
    """A message to the device on `down/{subject}`. `expected` belongs to what a drill sends."""

    at_s: float
    subject: str
    payload: bytes
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """The broker was asked for the device's retained messages."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """The device's connection was cut, by taking its client id."""

    at_s: float


@dataclass(frozen=True, slots=True)
class QosRaised:
    """The broker raised the QoS of a message, so the publisher's QoS is unknown."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    at_s: float


Entry = FromDevice | ToDevice | Probed | Evicted | QosRaised | Ended
