import pytest

from mqtt_bridge import topics
from mqtt_bridge.topics import Subject, Up


@pytest.mark.parametrize("subject", list(Subject))
def test_an_up_topic_names_its_device_and_subject(subject: Subject) -> None:
    assert topics.parse_up(f"cymba/v1/device-0001/up/{subject.value}".encode()) == Up(
        "device-0001", subject
    )


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "cymba/v1/device-0001/up/frame/",
        "cymba/v1/device-0001/up/frame\n",
        "cymba/v1/device-0001/up/other",
        "cymba/v1/device-0001/down/ack",
        "cymba/v1/short/up/frame",
        f"cymba/v1/{'d' * 33}/up/frame",
        "cymba/v1/device/0001/up/frame",
        "cymba/v1/dévice-0001/up/frame",
        "cymba/v2/device-0001/up/frame",
        "cymba/bridge/bridge-0/echo",
    ],
)
def test_any_other_topic_speaks_of_no_device(topic: str) -> None:
    assert topics.parse_up(topic.encode()) is None


def test_one_slot_alone_needs_no_shared_subscriptions() -> None:
    assert topics.filters("bridge-0", group=None) == [
        ("cymba/v1/+/up/frame", 1),
        ("cymba/v1/+/up/state", 1),
        ("cymba/v1/+/up/time", 0),
        ("cymba/v1/+/up/presence", 1),
        ("cymba/bridge/bridge-0/echo", 1),
    ]


def test_slots_share_the_devices_and_each_receives_its_own_probe() -> None:
    first, second = (dict(topics.filters(f"bridge-{slot}", group="ours")) for slot in (0, 1))
    assert first["$share/ours/cymba/v1/+/up/frame"] == 1
    assert set(first) & set(second) == {
        f"$share/ours/cymba/v1/+/up/{name}" for name in ("frame", "state", "time", "presence")
    }
    assert "$share/ours-bridge-1/cymba/bridge/bridge-1/echo" in second


def test_who_does_not_know_the_password_cannot_name_the_group() -> None:
    group = topics.share_group("a password")
    assert group == topics.share_group("a password")
    assert group != topics.share_group("another")
    assert "password" not in group
    assert set(group) <= set("0123456789abcdef")  # no wildcard and no slash: MQTT 5, 4.8.2
    assert topics.share_group(None) == "bridge"  # a laboratory that lets everybody in
