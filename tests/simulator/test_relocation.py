"""A simulated device that is told to go to another broker, whatever becomes of that."""

from itertools import pairwise

import pytest

from cymba.devices.messages import Relocation
from cymba.devices.signing import sign
from cymba.stimulation.wire.messages import to_json
from tests.simulator.network import KEY, Join, Network

HOME, NORTH, SOUTH = "127.0.0.1", "north", "south"


def tell(network: Network, broker: str, at: int) -> None:
    relocation = sign(KEY, "device-0001", Relocation(at=at, broker=f"mqtt://{broker}"))
    network.device.on_message("broker", to_json(relocation), network.now_s)


def is_whole(network: Network) -> bool:
    """Nothing of what it made is lost, once it is all sent."""
    device = network.device
    device.end_life(network.now_s)
    network.live_until(network.now_s + 120.0)
    return device.is_drained and network.seen == {seq for _, seq in device.made}


def test_in_a_session_it_says_goodbye_and_takes_with_it_what_is_not_acknowledged(
    join: Join,
) -> None:
    network = join(answers=False)  # the acks are on their way
    network.live_until(100.0)
    assert len(network.device.flash) > 5
    tell(network, NORTH, 1)
    goodbye = network.on("presence")[-1].message
    assert (goodbye["online"], network.ends) == (False, ["close"])
    network.answers = True
    network.live_until(300.0)
    assert network.hosts == [HOME, NORTH]
    assert network.on("presence")[-1].message["online"]
    assert is_whole(network)


def test_where_the_new_broker_is_dead_it_comes_back_and_goes_on(join: Join) -> None:
    network = join(dead={NORTH})
    network.live_until(100.0)
    tell(network, NORTH, 1)
    network.live_until(200.0)
    assert network.hosts == [HOME, *[NORTH] * 5, HOME]
    assert network.device.is_online
    assert network.device.brokers.came_back
    tell(network, NORTH, 1)  # it is still retained
    network.live_until(300.0)
    assert network.hosts[-1] == HOME
    network.dead.clear()
    tell(network, NORTH, 2)
    network.live_until(400.0)
    assert network.hosts[-1] == NORTH
    assert not network.device.brokers.came_back
    assert is_whole(network)


def test_of_two_moves_in_a_row_the_first_broker_knows_the_second(join: Join) -> None:
    network = join(dead={NORTH})  # it admits nobody any more
    network.live_until(50.0)
    tell(network, NORTH, 1)
    network.live_until(100.0)
    tell(network, SOUTH, 2)
    network.live_until(200.0)
    assert network.hosts == [HOME, *[NORTH] * 5, HOME, SOUTH]
    assert is_whole(network)


def test_a_broker_that_says_that_it_belongs_elsewhere_is_left_at_once(join: Join) -> None:
    network = join(strange={HOME})
    network.live_until(50.0)
    assert network.hosts == [HOME]  # it knows of no other
    assert len(network.device.flash) > 0
    tell(network, NORTH, 1)
    network.live_until(100.0)
    network.strange = {NORTH}
    network.live_until(200.0)
    assert network.hosts == [HOME, NORTH, HOME]
    assert is_whole(network)


def test_where_no_broker_is_its_own_it_waits_longer_each_time(join: Join) -> None:
    network = join(strange={HOME, NORTH})
    network.live_until(50.0)
    tell(network, NORTH, 1)
    network.live_until(3_600.0)
    came_s = [said.at_s for said in network.on("presence") if said.message["online"]]
    gaps_s = [later - earlier for earlier, later in pairwise(came_s)]
    assert set(network.hosts[-2:]) == {HOME, NORTH}
    assert max(gaps_s) >= 150.0
    assert len(network.hosts) < 40


@pytest.mark.parametrize("payload", [b"", b"\xff nonsense", b"{}", b'{"at":9,"broker":"mqtt://n"}'])
def test_an_empty_or_unsigned_message_moves_nobody(join: Join, payload: bytes) -> None:
    network = join()
    network.live_until(20.0)
    network.device.on_message("broker", payload, network.now_s)
    network.live_until(60.0)
    assert (network.hosts, network.ends) == ([HOME], [])
