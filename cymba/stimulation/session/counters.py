"""What a device's own counters of charge and pulses say of a session.

Some count a session, some the device's life, and the values do not show which. So the first value
in a session is its zero, unless the start frame says where the counters stood. Within a boot a
counter never falls; one that does is marked, and its highest value counts. A lower value after a
reboot means that it began anew.
"""

from msgspec import Struct


class Count(Struct, array_like=True):
    """One counter's values so far, in order of time."""

    began_at: int | None = None
    reached: int = 0
    before_reboot: int = 0  # what it counted before it began anew
    last: int | None = None  # in this boot
    falls: bool = False  # within a boot

    def add(self, value: int, stood_at: int | None) -> None:
        """`stood_at` is where the start says that it stood."""
        if self.began_at is None:
            self.began_at = self.reached = value if stood_at is None else stood_at
        if self.last is None:
            if value < self.reached:
                self.before_reboot += self.reached - self.began_at
                self.began_at = 0
            self.reached = value
        else:
            self.falls = self.falls or value < self.last
            self.reached = max(self.reached, value)
        self.last = value

    def reboot(self) -> None:
        self.last = None

    @property
    def total(self) -> int | None:
        """None: it was never read."""
        return None if self.began_at is None else self.before_reboot + self.reached - self.began_at
