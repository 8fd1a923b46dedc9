"""Which broker a device goes to: where the server told it, and back where that is not to be had."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cymba.broker_address import BrokerAddress
from cymba.devices.messages import Relocation
from cymba.devices.signing import sign
from firmware.brokers import TRIES, DeviceBrokers, KeptRelocation

KEY = Ed25519PrivateKey.generate()
DEVICE = "device-0001"
HOME = BrokerAddress("first.example.org", 8883, tls=True)
NORTH, SOUTH = "mqtts://north.example.org", "mqtts://south.example.org:8884"


def told(broker: str, at: int = 1_000, *, device_id: str = DEVICE) -> Relocation:
    return sign(KEY, device_id, Relocation(at=at, broker=broker))


@pytest.fixture
def brokers() -> DeviceBrokers:
    return DeviceBrokers(HOME, DEVICE, KEY.public_key())


def attempts(brokers: DeviceBrokers, count: int) -> list[str]:
    """Where so many attempts go, if each of them fails."""
    hosts = []
    for _ in range(count):
        hosts.append(brokers.address.host.partition(".")[0])
        brokers.failed()
    return hosts


@pytest.mark.parametrize(
    "relocation",
    [
        sign(Ed25519PrivateKey.generate(), DEVICE, Relocation(at=2_000, broker=NORTH)),
        told(NORTH, 2_000, device_id="another-0001"),
        Relocation(at=2_000, broker=NORTH),
        told(NORTH, 1_000),  # the last one that it followed
        told(NORTH, 999),
        told("north.example.org", 2_000),
        told("mqtts://", 2_000),
        told("mqtts://[north", 2_000),
        told("mqtt://north.example.org", 2_000),  # its secret would be open to all on the way
    ],
)
def test_what_is_late_forged_unreadable_or_without_tls_is_ignored(
    brokers: DeviceBrokers, relocation: Relocation
) -> None:
    assert brokers.follow(told(SOUTH))
    before = brokers.address
    assert not brokers.follow(relocation)
    assert (brokers.address, brokers.came_back) == (before, False)
    assert brokers.follow(told(NORTH, 2_000))


def test_without_the_servers_key_it_stays_where_it_is() -> None:
    brokers = DeviceBrokers(HOME, DEVICE, None)
    assert not brokers.follow(told(NORTH))
    assert attempts(brokers, 20) == ["first"] * 20


def test_it_goes_back_after_five_failures_and_then_each_address_has_its_turn(
    brokers: DeviceBrokers,
) -> None:
    assert brokers.follow(told(NORTH))
    assert attempts(brokers, TRIES) == ["north"] * TRIES
    assert brokers.came_back
    assert attempts(brokers, 4) == ["first", "north", "first", "north"]
    brokers.admitted()
    assert attempts(brokers, TRIES + 1) == ["first"] * TRIES + ["north"]


def test_a_broker_that_lets_it_in_between_is_not_left(brokers: DeviceBrokers) -> None:
    brokers.follow(told(NORTH))
    for _ in range(5):
        assert attempts(brokers, TRIES - 1) == ["north"] * (TRIES - 1)
        brokers.admitted()


def test_of_two_moves_in_a_row_it_comes_back_to_where_it_was(brokers: DeviceBrokers) -> None:
    brokers.follow(told(NORTH))
    brokers.follow(told(SOUTH, 2_000))  # heard at the first one's, or at the second one's broker
    assert (brokers.address.host, brokers.address.port) == ("south.example.org", 8884)
    attempts(brokers, TRIES)
    assert brokers.address.host == "north.example.org"


def test_it_knows_both_addresses_after_a_restart() -> None:
    flash: list[KeptRelocation] = []
    home = BrokerAddress("::1", 8883, tls=True)
    DeviceBrokers(home, DEVICE, KEY.public_key(), keep=flash.append).follow(told(NORTH))
    again = DeviceBrokers(home, DEVICE, KEY.public_key(), kept=flash[-1])
    assert not again.follow(told(NORTH))
    assert again.address.host == "north.example.org"
    attempts(again, TRIES)
    assert again.address == home


def test_where_it_was_told_to_go_ends_with_a_new_provisioning() -> None:
    flash: list[KeptRelocation] = []
    DeviceBrokers(HOME, DEVICE, KEY.public_key(), keep=flash.append).follow(told(NORTH))
    moved = BrokerAddress("moved.example.org", 8883, tls=True)
    again = DeviceBrokers(moved, DEVICE, KEY.public_key(), kept=flash[-1])
    assert attempts(again, TRIES + 1) == ["moved"] * (TRIES + 1)
    assert not again.follow(told(NORTH))  # an old message does not become new by it
    assert again.follow(told(SOUTH, 2_000))
