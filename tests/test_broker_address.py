from pathlib import Path

import pytest

from cymba.broker_address import BrokerAddress
from cymba.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", BrokerAddress("broker", 1883)),
        ("mqtts://broker", BrokerAddress("broker", 8883, tls=True)),
        ("mqtt://bridge:p%40ss@broker:7", BrokerAddress("broker", 7, False, "bridge-0", "p@ss")),
        ("mqtt://hosted:x@[::1]:7", BrokerAddress("::1", 7, False, "hosted", "x")),
    ],
)
def test_the_slot_has_its_own_user_name(url: str, expected: BrokerAddress) -> None:
    assert BrokerAddress.of(Settings(broker_url=url)).for_slot("bridge-0") == expected


WRONG = [
    "http://broker",
    "mqtt://",
    "mqtt://broker:port",
    "broker:1883",
    "mqtt://[broker",
    "mqtt://bridge:pa/ss@broker",
]


@pytest.mark.parametrize("url", WRONG)
def test_any_other_address_is_refused_by_the_name_of_its_variable(url: str) -> None:
    with pytest.raises(SettingsError, match="CYMBA_BROKER_URL: it is not mqtt") as refused:
        BrokerAddress.of(Settings(broker_url=url))
    assert "pa" not in str(refused.value).replace("password", ""), "a password is no message"


def test_another_broker_is_met_with_the_same_certificates() -> None:
    settings = Settings(broker_ca_file=Path("ca.pem"))
    assert BrokerAddress.parse("mqtts://other", settings).ca_file == Path("ca.pem")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("mqtts://broker", "mqtts://broker:8883"),
        ("mqtt://bridge:p%40ss@[::1]", "mqtt://[::1]:1883"),
    ],
)
def test_a_place_is_told_in_one_way_and_without_a_secret(url: str, place: str) -> None:
    assert BrokerAddress.parse(url).url == place
    assert BrokerAddress.parse(place).url == place
