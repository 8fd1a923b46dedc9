"""Which broker a device goes to: the one of its provisioning, until the server names another (R44).

It keeps both addresses. So a device that cannot reach the new broker, or is not let in, comes back
to the earlier one, with all that it keeps in flash.
"""

from collections.abc import Callable
from dataclasses import replace

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cymba.broker_address import BrokerAddress
from cymba.devices.messages import Relocation
from cymba.devices.signing import verify

TRIES = 5  # in a row; after that each address has its turn


class KeptRelocation(msgspec.Struct, frozen=True):
    """What stays in flash."""

    at: int  # of the last relocation that was followed
    broker: str
    before: str
    provisioned: str  # another one since then holds over both


class DeviceBrokers:
    def __init__(
        self,
        provisioned: BrokerAddress,
        device_id: str,
        key: Ed25519PublicKey | None,
        *,
        kept: KeptRelocation | None = None,
        keep: Callable[[KeptRelocation], None] | None = None,
        follows_anybody: bool = False,
    ) -> None:
        """A device without a key stays with its broker."""
        self._device_id, self._key, self._keep = device_id, key, keep
        self._follows_anybody = follows_anybody
        self._at = 0 if kept is None else kept.at
        self.address = provisioned
        self._other: BrokerAddress | None = None
        self._told = provisioned
        self._provisioned = provisioned.url
        if kept is not None and kept.provisioned == self._provisioned:
            self._go(_like(provisioned, kept.broker), _like(provisioned, kept.before))
        self._failures = 0

    @property
    def came_back(self) -> bool:
        """It is with the broker that it was to leave, because the other one was not to be had."""
        return self.address != self._told

    def follow(self, relocation: Relocation) -> bool:
        """Whether it is to go now. What comes late, is forged or would give up TLS is ignored."""
        if relocation.at <= self._at or not self._is_signed(relocation):
            return False
        try:
            told = _like(self.address, relocation.broker)
        except ValueError:
            return False
        if self.address.tls and not told.tls:
            return False
        self._at = relocation.at
        if self._keep is not None:
            before = self.address.url
            self._keep(KeptRelocation(self._at, relocation.broker, before, self._provisioned))
        self._go(told, self.address)
        return True

    def admitted(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        """It was not reached, or it refused: after some times the other one is next."""
        self._failures += 1
        if self._failures >= TRIES:
            self.turn()

    def turn(self) -> bool:
        """Take the other address, if there is one."""
        if self._other is None:
            return False
        self.address, self._other = self._other, self.address
        return True

    def _go(self, told: BrokerAddress, before: BrokerAddress) -> None:
        self.address = self._told = told
        self._other = None if told == before else before
        self._failures = 0

    def _is_signed(self, relocation: Relocation) -> bool:
        if self._follows_anybody:
            return True
        return self._key is not None and verify(self._key, self._device_id, relocation)


def _like(address: BrokerAddress, url: str) -> BrokerAddress:
    """Another place, with the same certificates."""
    there = BrokerAddress.parse(url)
    return replace(address, host=there.host, port=there.port, tls=there.tls)
