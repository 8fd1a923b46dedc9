"""The kit tries the largest frame that the protocol allows, so that no broker that takes less looks
like a device that keeps no rule."""

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from conformance.drill import Action, Drill, Evict
from conformance.largest import largest_frame
from conformance.listener import Entrance, Listener, TooSmall, hang_up
from conformance.trace import Evicted, FromDevice, ProtocolTimes
from cymba.broker_address import BrokerAddress
from cymba.stimulation.wire.frames import decode
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, EventFrame
from tests.end_to_end.parts import listens, wait_until
from tests.free_ports import free_port
from tests.programs import MOSQUITTO, needs

DEVICE_ID = "device-0001"


class CutsAtOnce(Drill):
    """Takes the device's id, and is over."""

    def tick(self, now_s: float) -> list[Action]:
        del now_s
        actions: list[Action] = [] if self.was_cut else [Evict()]
        self.was_cut = True
        return actions

    def is_over(self, now_s: float) -> bool:
        del now_s
        return self.was_cut


@contextmanager
def mosquitto(folder: Path, most_bytes: int) -> Iterator[BrokerAddress]:
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"
        f"max_packet_size {most_bytes}\nuser {getpass.getuser()}\n"
    )
    with subprocess.Popen([str(MOSQUITTO), "-c", config]) as process:
        wait_until(lambda: listens(port), what="mosquitto listens")
        try:
            yield BrokerAddress("127.0.0.1", port)
        finally:
            process.terminate()


def test_the_largest_frame_is_a_frame() -> None:
    made = largest_frame()
    assert len(made) == MAX_PAYLOAD_BYTES
    assert isinstance(decode(made), EventFrame)


@needs("mosquitto")
def test_a_broker_that_carries_it_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    for most_bytes, is_enough in ((20_480, True), (16_384, False)):
        with mosquitto(tmp_path, most_bytes) as broker:
            listener = Listener(Entrance(broker), DEVICE_ID, CutsAtOnce(DEVICE_ID, ProtocolTimes()))
            if is_enough:
                listener.listen(10)
                assert any(isinstance(entry, Evicted) for entry in listener.trace)
            else:
                with pytest.raises(TooSmall, match="16,384 bytes"):
                    listener.listen(10)
        # It is the kit's own, and nothing that the device did.
        assert not any(isinstance(entry, FromDevice) for entry in listener.trace)


@needs("mosquitto")
def test_a_device_that_takes_its_id_back_at_once_is_no_small_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path, 20_480) as broker:
        device = Client(CallbackAPIVersion.VERSION2, DEVICE_ID)
        device.reconnect_delay_set(0, 0)
        device.connect(broker.host, broker.port)
        device.loop_start()
        try:
            for _ in range(4):
                drill = CutsAtOnce(DEVICE_ID, ProtocolTimes())
                Listener(Entrance(broker), DEVICE_ID, drill).listen(10)
        finally:
            hang_up(device)
