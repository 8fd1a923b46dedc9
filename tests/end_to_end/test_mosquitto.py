"""Who may do what on a Mosquitto as it is shipped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from paho.mqtt.enums import MQTTProtocolVersion
from sqlalchemy import Engine

from mqtt_bridge.topics import share_group
from ops.commands.conformance import conformance
from ops.exits import Exit
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.end_to_end.shipped_mosquitto import (
    PASSWORDS,
    PROTOCOLS,
    MqttCaller,
    ShippedMosquitto,
    call,
)
from tests.programs import needs

pytestmark = [
    pytest.mark.slow,
    needs("mosquitto"),
]
BRIDGE = ("bridge-0", PASSWORDS["BRIDGE_PASSWORD"])
Call = Callable[..., MqttCaller]
Start = Callable[..., ShippedMosquitto]


@pytest.fixture
def start(tmp_path: Path, engine: Engine) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**options: object) -> ShippedMosquitto:
            broker = ShippedMosquitto(tmp_path / "site", engine, **options)  # type: ignore[arg-type]
            stack.callback(broker.stop)
            broker.start()
            return broker

        yield started


@pytest.fixture
def broker(start: Start) -> ShippedMosquitto:
    return start()


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> MQTTProtocolVersion:
    return PROTOCOLS[request.param]


@pytest.fixture
def enter() -> Iterator[Call]:
    """`call` until the broker admits it: it may not have read a new secret yet."""
    callers: list[MqttCaller] = []

    def entered(broker: ShippedMosquitto, *arguments: object, **options: object) -> MqttCaller:
        def try_it() -> bool:
            callers.append(call(broker.port, *arguments, **options))  # type: ignore[arg-type]
            return callers[-1].entered

        wait_until(try_it, what=lambda: f"{callers[-1].reasons} {broker.log}")
        return callers[-1]

    yield entered
    for caller in callers:
        caller.leave()


def test_a_device_speaks_and_hears_on_its_own_topics_only(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call
) -> None:
    one, other = broker.provision(), broker.provision()
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    bridge.say(f"cymba/v1/{other[0]}/down/desired", b"retained for the other", retain=True)
    device, neighbour = (enter(broker, *each, protocol=protocol) for each in (one, other))
    for topic in ("#", "$SYS/#", "cymba/#", "cymba/v1/+/down/#", f"cymba/v1/{other[0]}/down/#",
                  f"cymba/v1/{other[0]}/up/#", f"cymba/v1/{one[0]}/up/#", "cymba/bridge/#",
                  f"$share/mine/cymba/v1/{other[0]}/down/#", "$CONTROL/#"):  # fmt: skip
        device.subscribe(topic)  # Mosquitto's files grant all and deliver nothing
    assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
    assert neighbour.subscribe(f"cymba/v1/{other[0]}/down/#")
    for topic in (f"cymba/v1/{other[0]}/up/frame", f"cymba/v1/{other[0]}/down/ack",
                  f"cymba/v1/{one[0]}/down/ack", "cymba/bridge/bridge-0/echo", "elsewhere",
                  "$CONTROL/dynamic-security/v1"):  # fmt: skip
        device.say(topic, b"forged")
        device.say(topic, b"forged", retain=True)
    device.say(f"cymba/v1/{one[0]}/up/frame", b"own")
    bridge.say(f"cymba/v1/{one[0]}/down/ack", b"for one")
    bridge.say(f"cymba/v1/{other[0]}/down/ack", b"for the other")
    wait_until(
        lambda: bool(bridge.heard and device.heard) and len(neighbour.heard) == 2,
        what=lambda: f"{bridge.heard} {device.heard} {neighbour.heard} {broker.log}",
    )  # fmt: skip
    assert bridge.heard == [(f"cymba/v1/{one[0]}/up/frame", b"own")]
    assert set(device.heard) == {(f"cymba/v1/{one[0]}/down/ack", b"for one")}
    assert neighbour.heard == [
        (f"cymba/v1/{other[0]}/down/desired", b"retained for the other"),
        (f"cymba/v1/{other[0]}/down/ack", b"for the other"),
    ]


@pytest.mark.parametrize(
    "subject", ["Frame", "frame/", "frame/1", "/frame", "frames", "", "presence/x", "store/7"]
)
def test_a_device_can_leave_nothing_under_another_name(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call, subject: str
) -> None:
    one = broker.provision()
    device = enter(broker, *one, protocol=protocol)
    known = f"cymba/v1/{one[0]}/up/presence"
    device.say(f"cymba/v1/{one[0]}/up/{subject}", b"x" * 16_000, retain=True)
    device.say(known, b"online", retain=True)
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    assert bridge.subscribe("cymba/v1/+/up/#")  # and is sent what is retained
    wait_until(lambda: bool(bridge.heard), what=lambda: broker.log)
    assert bridge.heard == [(known, b"online")]


def test_the_bridge_takes_presence_off_and_says_nothing_else_for_a_device(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call
) -> None:
    one = broker.provision()
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    device = enter(broker, *one, protocol=protocol)
    presence, frame, state = (
        f"cymba/v1/{one[0]}/up/{name}" for name in ("presence", "frame", "state")
    )
    device.say(presence, b"online", retain=True)
    assert bridge.subscribe("cymba/v1/+/up/+")
    wait_until(lambda: bool(bridge.heard), what=lambda: broker.log)
    for topic in (frame, state):
        bridge.say(topic, b"forged", retain=True)
    bridge.say(presence, b"", retain=True)
    wait_until(lambda: len(bridge.heard) == 2, what=lambda: broker.log)
    assert bridge.heard == [(presence, b"online"), (presence, b"")]
    bridge.heard.clear()
    assert bridge.subscribe("cymba/v1/+/up/+")  # would get what is retained
    device.say(frame, b"own")
    wait_until(lambda: bool(bridge.heard), what=lambda: broker.log)
    assert bridge.heard == [(frame, b"own")]


def test_the_conformance_kit_hears_all_and_says_nothing(start: Start, enter: Call) -> None:
    broker = start()
    one, other = broker.provision(), broker.provision()
    bridge = enter(broker, *BRIDGE)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    device, neighbour = enter(broker, *one), enter(broker, *other)
    assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
    secret = quote(PASSWORDS["CONFORMANCE_PASSWORD"])
    kit = CliRunner().invoke(
        conformance,
        ["--device", one[0], "--seconds", "1",
         "--broker", f"mqtt://conformance:{secret}@127.0.0.1:{broker.port}"],
        obj=broker.settings,
    )  # fmt: skip
    assert kit.exit_code == Exit.UNMET, kit.output  # it was admitted, and nothing was seen
    listener = enter(broker, "conformance", PASSWORDS["CONFORMANCE_PASSWORD"])
    assert listener.subscribe("cymba/v1/#")
    for topic in (f"cymba/v1/{one[0]}/up/frame", f"cymba/v1/{one[0]}/down/ack"):
        listener.say(topic, b"forged")
    neighbour.say(f"cymba/v1/{other[0]}/up/frame", b"said")
    bridge.say(f"cymba/v1/{one[0]}/down/ack", b"answered")
    wait_until(
        lambda: bool(bridge.heard and device.heard) and len(listener.heard) == 2,
        what=lambda: f"{bridge.heard} {device.heard} {listener.heard} {broker.log}",
    )  # fmt: skip
    said, answered = (
        (f"cymba/v1/{other[0]}/up/frame", b"said"),
        (f"cymba/v1/{one[0]}/down/ack", b"answered"),
    )
    assert set(listener.heard) == {said, answered}
    assert (bridge.heard, device.heard) == ([said], [answered])


def test_a_last_will_speaks_for_its_own_device_only(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call
) -> None:
    one, other = broker.provision(), broker.provision()
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    assert bridge.subscribe("cymba/v1/+/up/presence")
    foreign, own = (f"cymba/v1/{device_id}/up/presence" for device_id, _ in (other, one))
    for will in (foreign, own):
        device = enter(broker, *one, protocol=protocol, will=will)
        device.break_off()
        assert device.lost.wait(PATIENCE_S)
    wait_until(lambda: bool(bridge.heard), what="the own will is heard")
    assert bridge.heard == [(own, b"will")]


def test_nobody_is_put_out_under_a_borrowed_client_id(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call
) -> None:
    one, other = broker.provision(), broker.provision()
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    device = enter(broker, *one, protocol=protocol)
    thief = enter(broker, *other, protocol=protocol)
    for client_id in ("bridge-0", one[0]):
        thief = enter(broker, *other, protocol=protocol, client_id=client_id)
        assert not call(broker.port, client_id, other[1], protocol=protocol).entered
        assert not call(broker.port, None, client_id=client_id, protocol=protocol).entered
    device.say(f"cymba/v1/{one[0]}/up/frame", b"still here")
    wait_until(lambda: bool(bridge.heard), what="the bridge hears")
    assert thief.heard == []
    assert not bridge.lost.is_set()
    assert not device.lost.is_set()


def test_without_its_client_ids_a_device_would_put_out_the_bridge(
    start: Start, enter: Call
) -> None:
    """The negative control of the test above."""
    broker = start(edit=lambda text: text.replace("use_username_as_clientid true\n", ""))
    one = broker.provision()
    bridge = enter(broker, *BRIDGE)
    enter(broker, *one, client_id="bridge-0")
    assert bridge.lost.wait(PATIENCE_S)


@pytest.mark.parametrize("is_known", [False, True])
def test_a_device_is_handed_no_share_of_the_bridges_messages(
    broker: ShippedMosquitto, enter: Call, is_known: bool
) -> None:
    """The group's name is secret: a device that knew it would be handed a
    share, which the broker then drops, since the device may not read it."""
    one, other = broker.provision(), broker.provision()
    group = share_group(BRIDGE[1])
    bridges = [enter(broker, f"bridge-{slot}", BRIDGE[1]) for slot in (0, 1)]
    for bridge in bridges:
        assert bridge.subscribe(f"$share/{group}/cymba/v1/+/up/frame")
        assert bridge.subscribe("cymba/v1/+/up/presence")
    thief = enter(broker, *other)
    for guess in (group if is_known else "bridge", "+"):
        thief.subscribe(f"$share/{guess}/cymba/v1/+/up/frame")
    device = enter(broker, *one)
    for number in range(30):
        device.say(f"cymba/v1/{one[0]}/up/frame", b"%d" % number)
    last = (f"cymba/v1/{one[0]}/up/presence", b"last")
    device.say(*last)
    # The broker keeps the order, so whatever was handed to a bridge has come before that.
    wait_until(lambda: all(last in bridge.heard for bridge in bridges), what="all is said")
    heard = [payload for bridge in bridges for _, payload in bridge.heard if payload != last[1]]
    if is_known:
        assert len(heard) < 30  # why the name is secret
    else:
        assert sorted(heard, key=int) == [b"%d" % number for number in range(30)]
    assert thief.heard == []


@pytest.mark.parametrize("end", ["revoke", "reissue"])
def test_a_secret_that_ends_is_dead_also_on_a_live_connection(
    broker: ShippedMosquitto, protocol: MQTTProtocolVersion, enter: Call, end: str
) -> None:
    one, other = broker.provision(), broker.provision()
    bridge = enter(broker, *BRIDGE, protocol=protocol)
    neighbour = enter(broker, *other, protocol=protocol)
    device = enter(broker, *one, protocol=protocol)
    entrypoint = broker.pid
    said = broker.operate(end, one[0]).strip()
    assert device.lost.wait(PATIENCE_S)
    assert not call(broker.port, *one, protocol=protocol).entered
    assert not call(broker.port, one[0], "", protocol=protocol).entered
    assert not call(broker.port, one[0], other[1], protocol=protocol).entered
    fresh = said if end == "reissue" else broker.operate("reissue", one[0]).strip()
    device = enter(broker, one[0], fresh, protocol=protocol)
    assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
    bridge.say(f"cymba/v1/{one[0]}/down/ack", b"again")
    wait_until(lambda: bool(device.heard), what="it has its rights again")
    assert not bridge.lost.is_set()
    assert not neighbour.lost.is_set()
    assert broker.pid == entrypoint


def test_the_health_check_hears_how_long_the_broker_runs_and_nothing_else(
    broker: ShippedMosquitto, enter: Call
) -> None:
    one = broker.provision()
    check = enter(broker, "health", PASSWORDS["HEALTH_PASSWORD"])
    for topic in ("#", "$SYS/#", "cymba/v1/+/up/#"):
        check.subscribe(topic)
    assert check.subscribe("$SYS/broker/uptime")
    bridge = enter(broker, *BRIDGE)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    check.say(f"cymba/v1/{one[0]}/up/frame", b"forged")
    enter(broker, *one).say(f"cymba/v1/{one[0]}/up/frame", b"own")
    wait_until(lambda: bool(bridge.heard and check.heard), what="both have heard")
    assert bridge.heard == [(f"cymba/v1/{one[0]}/up/frame", b"own")]
    assert {topic for topic, _ in check.heard} == {"$SYS/broker/uptime"}


def test_what_waits_for_a_bridge_survives_the_news_of_a_device(
    broker: ShippedMosquitto, enter: Call
) -> None:
    """To read its files again, Mosquitto also judges clients that are away."""
    one = broker.provision()
    bridge = enter(broker, *BRIDGE, persistent=True)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    bridge.leave()
    device = enter(broker, *one)
    device.say(f"cymba/v1/{one[0]}/up/frame", b"before")
    newcomer = broker.provision()
    enter(broker, *newcomer).say(f"cymba/v1/{newcomer[0]}/up/frame", b"after")
    bridge = enter(broker, *BRIDGE, persistent=True)
    wait_until(lambda: len(bridge.heard) == 2, what=lambda: str(bridge.heard))
    assert [payload for _, payload in bridge.heard] == [b"before", b"after"]
