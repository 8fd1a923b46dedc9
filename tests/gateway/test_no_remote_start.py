"""Nothing that comes from the network reaches the radio, whatever comes and whenever."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cymba.devices.messages import Desired, Programme, TimeReply
from cymba.devices.signing import sign
from cymba.stimulation.wire.messages import Ack, Rejection, to_cbor, to_json
from gateway.clock import ProgramBoot
from gateway.desk import desk as desks
from gateway.limits import allowance
from gateway.network import http
from gateway.network.http import HttpUplink
from gateway.network.mqtt import BrokerUplink
from gateway.radio.pretend import PretendBand
from gateway.store import FrameStore
from tests.gateway.conftest import Scene
from tests.gateway.test_limits import CONFIG, KEY

Message = tuple[str, bytes]
OWN_HIGHEST = 4
OWN = replace(CONFIG, highest_level=OWN_HIGHEST)


def a_programme() -> st.SearchStrategy[Programme]:
    return st.builds(
        Programme,
        site=st.just("neck"),
        side=st.sampled_from(["left", "right", "both"]),
        native_level=st.integers(0, 9),
        duration_s=st.integers(1, 900),
    )


def a_message() -> st.SearchStrategy[Message]:
    """Of a server that is good, of one that is not, and of anybody who got into its place."""
    version = st.builds(
        Desired,
        ver=st.integers(0, 2**32 - 1),
        programme=a_programme(),
        limits=st.dictionaries(
            st.sampled_from(["native_level", "duration_s", "daily_s"]), st.integers(0, 1_000)
        ),
    )
    signed = version.map(lambda one: sign(KEY, CONFIG.device_id, one))
    encoded = st.sampled_from([to_json, to_cbor])
    commands = st.sampled_from([b"D\n", b"9\n", b'{"start":true,"level":9}', b"{}", b""])
    subject = st.sampled_from(
        ["desired", "ack", "time", "start", "stop", "level", "desired/start", ""]
    )
    rejection = Rejection(code="key-reuse", detail="D\n9\n", retry=False, seq=1)
    return st.one_of(
        st.tuples(st.just("desired"), st.builds(lambda as_, one: as_(one), encoded, signed)),
        st.tuples(st.just("desired"), version.map(to_json)),
        st.tuples(st.just("ack"), st.just(to_json(Ack(store=1, upto=9, rejected=[rejection])))),
        st.tuples(st.just("time"), st.just(to_json(TimeReply(boot=1, u1=1, t2=2, t3=3)))),
        st.tuples(subject, st.one_of(commands, st.binary(max_size=40))),
    )


class NoBroker:
    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        pass

    def close(self) -> None:
        pass

    drop = close


class BothUplinks:
    """A message comes over MQTT, and is what any request over HTTP is answered with."""

    def __init__(self, folder: Path, boot: ProgramBoot) -> None:
        self._by_broker = BrokerUplink(OWN, FrameStore(folder), boot)
        self._by_broker._connect = lambda _will: NoBroker()
        self._by_broker.step(0.0)
        self._by_broker.on_connected(0.0)
        self._answer = b""
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=self._answer))
        config = replace(OWN, server="http://cymba.example.org")
        self._by_http = HttpUplink(config, FrameStore(folder), boot, transport=transport)

    def on_message(self, subject: str, payload: bytes, now_s: float) -> None:
        self._by_broker.on_message(subject, payload, now_s)
        self._answer = payload
        self._by_http.step_once()


def played(acts: Callable[[Scene, BothUplinks], Awaitable[None]]) -> Scene:
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), PretendBand())
        scene.desk._allowance = lambda: allowance(OWN, scene.store, 9, scene.boot.utc_ms())
        uplink = BothUplinks(Path(folder), scene.boot)

        async def on_stage() -> None:
            running = asyncio.create_task(scene.desk.run())
            await scene.until_said("Linked")
            await acts(scene, uplink)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        asyncio.run(on_stage())
    return scene


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "TICK_S", 0)
    for waits in ("LOOKS_EVERY_S", "ASKS_EVERY_S", "ASKS_AGAIN_AFTER_S"):
        monkeypatch.setattr(http, waits, 0)


few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(messages=st.lists(a_message(), max_size=8))
def test_no_message_writes_a_byte_to_the_band(messages: list[Message]) -> None:
    async def acts(scene: Scene, uplink: BothUplinks) -> None:
        for subject, payload in messages:
            uplink.on_message(subject, payload, 1.0)
            await scene.pass_time(1)

    assert played(acts).commands == []


@few
@given(messages=st.lists(a_message(), max_size=8))
def test_no_message_changes_what_a_session_is_set_to(messages: list[Message]) -> None:
    async def acts(scene: Scene, uplink: BothUplinks) -> None:
        await scene.press("s+")
        for subject, payload in messages:
            uplink.on_message(subject, payload, 1.0)
            await scene.pass_time(2)
        assert scene.band.level == 2

    assert set(played(acts).commands) <= {b"D\n", b"1\n", b"2\n"} | {b"0\n"}


@few
@given(messages=st.lists(a_message(), max_size=6))
def test_messages_only_ever_make_less_possible(messages: list[Message]) -> None:
    async def acts(scene: Scene, uplink: BothUplinks) -> None:
        for subject, payload in messages:
            uplink.on_message(subject, payload, 1.0)
        await scene.press("s" + 12 * "+")

    levels = [int(one) for one in played(acts).commands if one[:-1].isdigit()]
    assert max(levels, default=0) <= OWN_HIGHEST


def test_the_applied_limits_are_those_that_hold() -> None:
    """The tests above would also pass if nothing ever arrived."""

    async def acts(scene: Scene, uplink: BothUplinks) -> None:
        programme = Programme(site="neck", side="both", native_level=0, duration_s=60)
        version = Desired(ver=5, programme=programme, limits={"native_level": 3, "duration_s": 60})
        uplink.on_message("desired", to_json(sign(KEY, CONFIG.device_id, version)), 1.0)
        await scene.until_said("Version 5 of your programme")
        await scene.press("s" + 12 * "+")
        assert scene.band.level == 3

    played(acts)
