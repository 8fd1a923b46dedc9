"""What the machine does to a message meanwhile, so that a test blames no device for it."""

import threading
import time
from typing import Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from conformance.listener import hang_up
from cymba.broker_address import BrokerAddress

PERIOD_S = 0.02


class ServerPulse:
    """Sends itself the time through `broker`; `longest_s` is the longest way that one took."""

    def __init__(self, broker: BrokerAddress) -> None:
        self.longest_s = 0.0
        self._stopping = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="pulse", protocol=MQTTv311)
        self._client.on_message = self._arrived
        self._client.connect(broker.host, broker.port)
        self._client.subscribe("pulse")
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        hang_up(self._client)

    def _beat(self) -> None:
        before_s = time.monotonic()
        while not self._stopping.wait(PERIOD_S):
            now_s = time.monotonic()
            self.longest_s = max(self.longest_s, now_s - before_s)
            self._client.publish("pulse", repr(now_s))
            before_s = now_s

    def _arrived(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.longest_s = max(self.longest_s, time.monotonic() - float(message.payload))
