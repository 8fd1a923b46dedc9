import pytest

from cymba.settings import Settings, SettingsError
from mqtt_bridge.address import BrokerAddress


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", BrokerAddress("broker", 1883, False, None, None)),
        ("mqtts://broker", BrokerAddress("broker", 8883, True, None, None)),
        ("mqtt://bridge:p%40ss@broker:7", BrokerAddress("broker", 7, False, "bridge-0", "p@ss")),
        ("mqtt://hosted:x@[::1]:7", BrokerAddress("::1", 7, False, "hosted", "x")),
    ],
)
def test_the_slot_has_its_own_user_name(url: str, expected: BrokerAddress) -> None:
    assert BrokerAddress.of(Settings(broker_url=url), "bridge-0") == expected


@pytest.mark.parametrize(
    "url", ["http://broker", "mqtt://", "mqtt://broker:port", "broker:1883", "mqtt://[broker"]
)
def test_any_other_address_is_refused_by_the_name_of_its_variable(url: str) -> None:
    with pytest.raises(SettingsError, match="CYMBA_BROKER_URL"):
        BrokerAddress.of(Settings(broker_url=url), "bridge-0")
