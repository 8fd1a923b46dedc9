"""What the bridge is measured against: a consumer that does nothing, and the naive way.

python -m benchmarks.mqtt_peers empty|naive BROKER_URL COUNT [DATABASE_URL]

Each prints "ready", and after COUNT frames its rate: from a tenth of them to nine tenths.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cymba.database import make_engine
from cymba.settings import Settings
from mqtt_bridge.address import BrokerAddress

FILTER = "cymba/v1/+/up/frame"


class Base(DeclarativeBase):
    pass


class NaiveSample(Base):
    """A row a sample, as the first draft of such a bridge has it."""

    __tablename__ = "naive_sample"

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str]
    sampled_at: Mapped[datetime]
    amplitude_ua: Mapped[int]
    impedance_ohm: Mapped[int]
    heart_rate_bpm: Mapped[int]
    rr_ms: Mapped[int]
    skin_temp_mc: Mapped[int]
    battery_pct: Mapped[int]


class Middle:
    """The rate from a tenth to nine tenths of `count`."""

    def __init__(self, count: int) -> None:
        self._seen, self._count = 0, count
        self._low, self._high = count // 10, count * 9 // 10
        self._began = self._ended = 0.0
        self.done = threading.Event()

    def one_more(self) -> None:
        self._seen += 1
        if self._seen == self._low:
            self._began = time.monotonic()
        elif self._seen == self._high:
            self._ended = time.monotonic()
        if self._seen == self._count:
            self.done.set()

    @property
    def rate(self) -> float:
        return (self._high - self._low) / (self._ended - self._began)


def consume(kind: str, url: str, count: int, database_url: str | None) -> None:
    address = BrokerAddress.of(Settings(broker_url=url), "bridge-0")
    middle = Middle(count)
    client = Client(
        CallbackAPIVersion.VERSION2, client_id="bridge-0", protocol=MQTTv311, clean_session=True
    )
    client.username_pw_set(address.username, address.password)
    if kind == "empty":
        client.on_message = lambda *_: middle.one_more()
    else:
        assert database_url is not None
        engine = make_engine(database_url)
        Base.metadata.create_all(engine)

        def store(_client: Client, _userdata: object, message: MQTTMessage) -> None:
            frame = json.loads(message.payload)
            device_id = message.topic.split("/")[2]
            began = datetime.now(UTC)
            with Session(engine) as session:
                for i in range(frame["n"]):
                    values = {name: column[i] for name, column in frame["c"].items()}
                    at = began + timedelta(milliseconds=i * frame["dt"])
                    session.add(NaiveSample(device_id=device_id, sampled_at=at, **values))
                session.commit()
            middle.one_more()

        client.on_message = store
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(address.host, address.port)
    client.loop_start()
    client.subscribe(FILTER, 1)
    subscribed.wait(10)
    print("ready", flush=True)
    middle.done.wait(300)
    print(json.dumps({"rate": middle.rate, "cpu_s": time.process_time()}), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:5] or [None])
