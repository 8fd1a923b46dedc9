"""The embedded broker: amqtt in a process of its own, for the demo and tests. Loopback only.

Devices sign in with their secrets from the database, the bridges (`bridge-0` …) with one secret.
Each has access to its own topics. amqtt speaks MQTT 3.1.1 only, knows no shared subscriptions (so
there is one bridge slot), and loses everything when its process ends. The protocol tolerates this.

amqtt evicts the holder of a client id before it checks a password. So CONNECT is read and checked
here first, and reaches amqtt only if it is admitted.
"""

import asyncio
import json
import logging
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

import structlog
from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session as MqttSession
from sqlalchemy import Engine

from cymba.database import UnitOfWork, make_engine
from cymba.devices.broker_rights import (
    TopicAccess,
    admitting_hash,
    admitting_hashes,
    is_bridge,
    is_theirs,
)
from cymba.devices.denied_topics import DeniedTopics
from cymba.settings import FIRST_CELL, Settings
from cymba.stop_signals import STOP_SIGNALS
from ops import logs
from ops.broker_door import ADMITTED, Door, Guests

HOST = "127.0.0.1"
LISTENER = "default"
CONNECT_TIMEOUT_S = 10
START_TIMEOUT_S = 60
MOST_WAITING = 20  # undelivered messages of a device; with more, its socket is not read
MOST_DELIVERING = 50  # messages of all clients that are being delivered at once
ROOM_POLL_S = 0.005
log = structlog.get_logger(__name__)


@dataclass
class EmbeddedBroker:
    """A running broker, and the credentials of the server's own clients."""

    process: subprocess.Popen[str]
    port: int
    secret: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """For the bridge. Its user name stands for that of each slot."""
        return f"mqtt://bridge:{quote(self.secret, safe='')}@{HOST}:{self.port}"

    def stop(self, timeout_s: float = 10) -> None:
        """Terminate it, and kill it if it does not end."""
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class BrokerDidNotStart(Exception):
    """The broker's process ended, or did not report its port in time."""


def start(
    database_url: str | None,
    *,
    port: int = 0,
    secret: str | None = None,
    anonymous: bool = False,
    cell: str = FIRST_CELL,
) -> EmbeddedBroker:
    """Start a broker on a loopback port (0: any free one) and wait until it listens.

    It ends with this process, even if that is killed. `anonymous` allows everybody everything, for
    tests. Without it `database_url` is where the devices' secrets are.

    Raises:
        BrokerDidNotStart: most likely the port is taken.
    """
    if database_url is None and not anonymous:
        raise ValueError("database_url is missing: without it no device could sign in")
    secret = secret or secrets.token_urlsafe(24)
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops us
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - PIPE
    # Through the pipe, because every user of the machine can read a command line. The pipe stays
    # open: when it closes, the child knows that this process has ended.
    configuration = {
        "database_url": None if anonymous else database_url, "port": port, "secret": secret,
        "cell": cell,
    }  # fmt: skip
    watchdog = threading.Timer(START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        process.stdin.write(json.dumps(configuration) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    finally:
        watchdog.cancel()
    if not line.strip().isdecimal():
        process.kill()
        process.wait()
        raise BrokerDidNotStart(f"no broker on port {port}: the port may be taken")
    return EmbeddedBroker(process, int(line), secret)


class JudgedAlready(BaseAuthPlugin):  # type: ignore[misc] # amqtt ships no types
    """amqtt must authenticate each client; `Door` has done so already."""

    async def authenticate(self, *, session: MqttSession) -> bool:
        del session
        return True


class OwnTopics(BaseTopicPlugin):  # type: ignore[misc] # amqtt ships no types
    @dataclass
    class Config:
        open: bool = field(default=False)

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._open: bool = self.config.open
        self._denied = DeniedTopics()

    async def topic_filtering(
        self,
        *,
        session: MqttSession | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        if self._open:
            return True
        if session is None or topic is None or action is None:
            return False
        if topic.startswith("$share/"):
            return False  # amqtt would treat it as an ordinary name
        access = TopicAccess.PUBLISH if action is Action.PUBLISH else TopicAccess.SUBSCRIBE
        is_allowed = is_theirs(session.username or "", access, topic)
        if not is_allowed and access is TopicAccess.PUBLISH:
            self._denied.log(session.username or "", topic)
        return is_allowed


class _Rereader(StreamReaderAdapter):  # type: ignore[misc] # amqtt ships no types
    """Replays what `judge` has read, then reads the stream no faster than the broker delivers.

    amqtt reads everything that a client has sent before it does anything else. One client that
    sends without pause would occupy the event loop, and everybody else's messages would leave at
    about one a second.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._record: bytearray | None = bytearray()
        self._again = b""
        self._waiting_count: Callable[[], int] | None = None

    def rewind(self, waiting_count: Callable[[], int] | None) -> None:
        """`waiting_count` gives how many messages of this client wait to be delivered."""
        self._again, self._record = bytes(self._record or b""), None
        self._waiting_count = waiting_count

    async def read(self, n: int = -1) -> bytes:
        # amqtt may cancel the reading of a packet's first bytes for the keepalive. A wait among
        # them would then lose the position in the stream.
        if self._waiting_count is not None and n > 1:
            await asyncio.sleep(0)
            while self._waiting_count() >= MOST_WAITING:
                await asyncio.sleep(ROOM_POLL_S)
        if self._again:
            taken, self._again = self._again[:n], self._again[n:]
            return taken
        data: bytes = await super().read(n)
        if self._record is not None:
            self._record += data
        return data


class _Subscriptions(dict[str, list[tuple[MqttSession, int]]]):
    """Iterates over a copy. amqtt awaits while it iterates over its subscriptions, and fails if a
    client subscribes meanwhile: the message is lost, or the connection stays open without a
    handler."""

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(super().__iter__()))

    def items(self) -> Any:
        return tuple(super().items())


class _Broker(Broker):  # type: ignore[misc] # amqtt ships no types
    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._subscriptions = _Subscriptions()
        # Without a bound it fills with the messages of whoever sends most, and everybody else
        # waits.
        self._broadcast_queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_DELIVERING)

    def waiting_count(self, client_id: str) -> int:
        """How many messages of this client wait to be delivered."""
        session, _ = self._sessions.get(client_id, (None, None))
        return 0 if session is None else session.delivered_message_queue.qsize()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: MqttSession
    ) -> None:
        """Send a client the retained messages of its own subscriptions. amqtt would send those of
        everybody's."""
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


async def serve(
    port: int,
    door: Door,
    guests: Guests,
    *,
    open_topics: bool,
    started: Callable[[int], None],
    stop: asyncio.Event,
) -> None:
    """Run a broker on the loopback `port` until `stop`. `started` is called with the actual
    port."""
    broker = _Broker(
        BrokerConfig(
            listeners={LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
            plugins={"ops.broker.JudgedAlready": {}, "ops.broker.OwnTopics": {"open": open_topics}},
        )
    )
    await broker.start()

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client, answers = _Rereader(reader), StreamWriterAdapter(writer)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connect = await ConnectPacket.from_stream(client)
                verdict = await door.judge(connect)
                if verdict.code != ADMITTED:
                    await ConnackPacket.build(0, verdict.code).to_stream(answers)
                    await answers.close()
                    return
            name = connect.client_id
            # A bridge gets no backpressure: it only answers, and what it reads makes room.
            client.rewind(None if is_bridge(name) else partial(broker.waiting_count, name))
            with guests.stay(writer, connect.username or "", verdict):
                await broker.external_connected(client, answers, LISTENER)
        except (AMQTTError, MQTTError, NoDataError, OSError, TimeoutError, EOFError) as error:
            log.info("a client's connection broke off", error=repr(error))
        except Exception:
            log.exception("handling a client failed")
        finally:
            # Close it in any case, so that the client notices.
            writer.close()

    server = await asyncio.start_server(welcome, HOST, port)
    watching, stopping = asyncio.create_task(guests.watch()), asyncio.create_task(stop.wait())
    started(server.sockets[0].getsockname()[1])
    await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.close()
    await broker.shutdown()
    if watching.done():
        watching.result()  # it only ends with an error, which is raised here
    watching.cancel()


def run(
    engine: Engine | None,
    *,
    port: int,
    secret: str,
    started: Callable[[int], None],
    cell: str = FIRST_CELL,
) -> None:
    """Run a broker in this process until SIGTERM or SIGINT. `engine` leads to the devices' secrets;
    None: everybody may do everything.

    Raises:
        OSError: the port is taken.
    """
    asyncio.run(_run(engine, port, secret, started, cell))


async def _run(
    engine: Engine | None, port: int, secret: str, started: Callable[[int], None], cell: str
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_without_cut_lines)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if engine is None:
        await serve(
            port, Door(secret, None), Guests(_nobody), open_topics=True, started=started, stop=stop
        )
        return

    def check(device_id: str, device_secret: str) -> str | None:
        with UnitOfWork(engine) as session:
            return admitting_hash(session, device_id, device_secret, cell)

    def current_hashes(device_ids: Collection[str]) -> dict[str, str]:
        with UnitOfWork(engine) as session:
            return admitting_hashes(session, device_ids, cell)

    door, guests = Door(secret, check), Guests(current_hashes)
    await serve(port, door, guests, open_topics=False, started=started, stop=stop)


def _without_cut_lines(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out the failed tasks of a client that was cut off: they are no errors."""
    if not isinstance(context.get("exception"), AMQTTError):
        loop.default_exception_handler(context)


def _is_no_late_ack(record: logging.LogRecord) -> bool:
    """amqtt logs an error for a message that is not acked within 5 s. A bridge whose database is
    slow acks later, once it has committed."""
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError))


def _nobody(_device_ids: Collection[str]) -> dict[str, str]:
    return {}


def _child() -> None:
    """The process that `start` runs. It reads its arguments from standard input, and writes the
    port to standard output."""
    # Logs go to standard error: nobody reads standard output after the port, and a full pipe would
    # block the broker.
    logs.configure(Settings(log_format="console", log_level="warning"))
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("amqtt.broker").addFilter(_is_no_late_ack)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    wishes: dict[str, Any] = json.loads(sys.stdin.readline())

    def end_with_parent() -> None:
        sys.stdin.read()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    url = wishes["database_url"]
    engine = None if url is None else make_engine(url, application_name="cymba broker")
    run(
        engine,
        port=wishes["port"],
        secret=wishes["secret"],
        cell=wishes["cell"],
        started=lambda port: print(port, flush=True),  # noqa: T201 - to the parent
    )


if __name__ == "__main__":
    _child()
