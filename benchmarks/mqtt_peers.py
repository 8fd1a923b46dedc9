"""What the bridge is measured against: a consumer that does nothing, one that only commits, and
the naive way.

python -m benchmarks.mqtt_peers empty|bare|naive BROKER_URL COUNT [DATABASE_URL]

Each prints "ready", and after COUNT frames its rate: from a tenth of them to nine tenths.
"""

import json
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue

import psycopg
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from conformance.listener import hang_up
from cymba.broker_address import BrokerAddress
from cymba.database import UnitOfWork, make_engine

FILTER = "cymba/v1/+/up/frame"
BARE_BATCH = 500


class NaiveBase(DeclarativeBase):
    pass


class NaiveSample(NaiveBase):
    """A row a sample, as in the first draft of such a bridge."""

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


class BareStore:
    """The least that is durable: what waits goes into a table in one statement, unread, and after
    the commit broker and device get their acks. It only counts the frames of a device, which is
    right if that sends each once and in order."""

    def __init__(self, client: Client, middle: Middle, database_url: str) -> None:
        self._client, self._middle = client, middle
        self._line = psycopg.connect(database_url)
        self._line.execute("CREATE TABLE bare_frame (topic text, payload bytea)")
        self._line.commit()
        self._queue: SimpleQueue[MQTTMessage] = SimpleQueue()
        self._upto: Counter[str] = Counter()
        threading.Thread(target=self._write, daemon=True).start()

    def take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._queue.put(message)

    def _write(self) -> None:
        while True:
            batch = [self._queue.get()]
            with suppress(Empty):
                while len(batch) < BARE_BATCH:
                    batch.append(self._queue.get_nowait())
            self._line.execute(
                "INSERT INTO bare_frame SELECT * FROM unnest(%s::text[], %s::bytea[])",
                ([one.topic for one in batch], [one.payload for one in batch]),
            )
            self._line.commit()
            self._upto.update(one.topic for one in batch)
            for topic in {one.topic for one in batch}:
                ack = b'{"store":1,"upto":%d}' % self._upto[topic]
                self._client.publish(topic.replace("up/frame", "down/ack"), ack)
            for message in batch:
                self._client.ack(message.mid, message.qos)
                self._middle.one_more()


def consume(kind: str, url: str, count: int, database_url: str | None = None) -> None:
    address = BrokerAddress.parse(url).for_slot("bridge-0")
    middle = Middle(count)
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id="bridge-0",
        protocol=MQTTv311,
        clean_session=True,
        manual_ack=kind == "bare",
    )
    client.username_pw_set(address.username, address.password)
    if kind == "empty":
        client.on_message = lambda *_: middle.one_more()
    elif kind == "bare":
        assert database_url is not None
        client.on_message = BareStore(client, middle, database_url).take
    else:
        assert database_url is not None
        engine = make_engine(database_url)
        NaiveBase.metadata.create_all(engine)

        def store(_client: Client, _userdata: object, message: MQTTMessage) -> None:
            frame = json.loads(message.payload)
            device_id = message.topic.split("/")[2]
            began = datetime.now(UTC)
            with UnitOfWork(engine) as session:
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
    hang_up(client)


if __name__ == "__main__":
    consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:5])
