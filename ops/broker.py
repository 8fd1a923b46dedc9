"""The embedded broker: amqtt in a process of its own, for the demo and tests. Loopback only.

Devices are let in by the database, the server's own users (`bridge-0`, `api` …) by one secret, and
each to its own topics. What amqtt lacks, the protocol makes harmless: it speaks MQTT 3.1.1 only,
knows no shared subscriptions (so one bridge slot), and forgets all when its process ends.

amqtt evicts the holder of a client id before it asks for a password. So CONNECT is read and judged
here first, and reaches amqtt only if it may come in.
"""

import asyncio
import json
import logging
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any
from urllib.parse import quote

import structlog
from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, MQTTError
from amqtt.mqtt.connack import (
    BAD_USERNAME_PASSWORD,
    CONNECTION_ACCEPTED,
    SERVER_UNAVAILABLE,
    ConnackPacket,
)
from amqtt.mqtt.connect import ConnectPacket
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session as MqttSession
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cymba.database import make_engine
from cymba.devices.provisioning import authenticate

HOST = "127.0.0.1"
LISTENER = "default"
CONNECT_TIMEOUT_S = 10
START_TIMEOUT_S = 20
ADMITTED, REFUSED, UNAVAILABLE = (
    int(code) for code in (CONNECTION_ACCEPTED, BAD_USERNAME_PASSWORD, SERVER_UNAVAILABLE)
)
_SERVER_USER = re.compile(r"(bridge-\d+|api)")
_UP = {"frame", "state", "time", "presence"}
_DOWN = {"ack", "desired", "time", "+", "#"}
log = structlog.get_logger(__name__)

CheckDevice = Callable[[str, str], bool]


@dataclass
class EmbeddedBroker:
    """A running broker, and what a client of the server's own side needs to enter it."""

    process: subprocess.Popen[str]
    port: int
    secret: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """For the bridge: its user name stands for each slot's own."""
        return f"mqtt://bridge:{quote(self.secret, safe='')}@{HOST}:{self.port}"

    @property
    def device_url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def stop(self, timeout_s: float = 10) -> None:
        """End it, gently if it listens."""
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
    """The broker's process ended, or said nothing, before it listened."""


def start(
    database_url: str | None, *, port: int = 0, secret: str | None = None, anonymous: bool = False
) -> EmbeddedBroker:
    """Start a broker on a loopback port (0: any free one) and wait until it listens.

    It ends with this process, however that ends. `anonymous` lets everybody do everything, for
    tests; without it `database_url` says which devices there are.

    Raises:
        BrokerDidNotStart: most likely the port is taken.
    """
    if database_url is None and not anonymous:
        raise ValueError("without a database nobody could come in")
    secret = secret or secrets.token_urlsafe(24)
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the supervisor, which stops its parts in order
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - PIPE
    # Through the pipe, since a command line shows secrets to every user of the machine. The pipe
    # stays open: its end is how the child learns that this process has gone.
    configuration = {
        "database_url": None if anonymous else database_url, "port": port, "secret": secret,
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


class Door:
    """Who may come in: a device by its own secret, the server's users by theirs."""

    def __init__(self, secret: str, check_device: CheckDevice | None) -> None:
        """`check_device` None: everybody may."""
        self._secret = secret
        self._check_device = check_device

    async def judge(self, connect: ConnectPacket) -> int:
        """The return code of CONNACK: `ADMITTED`, `REFUSED`, or `UNAVAILABLE` for now."""
        if self._check_device is None:
            return ADMITTED
        user, password = connect.username or "", connect.password or ""
        # The client id is the user name, so that no client can evict another's connection; and a
        # will must be the client's own, since amqtt sends it unasked.
        if connect.client_id != user or (
            connect.will_flag and not may(user, Action.PUBLISH, connect.will_topic or "")
        ):
            return REFUSED
        if _SERVER_USER.fullmatch(user):
            right = compare_digest(password.encode(), self._secret.encode())
        else:
            try:
                right = await asyncio.to_thread(self._check_device, user, password)
            except SQLAlchemyError as error:
                log.warning("cannot ask the database", error=str(error).splitlines()[0])
                return UNAVAILABLE
        return ADMITTED if right else REFUSED


def may(user: str, action: Action, topic: str) -> bool:
    """Whether `user` may publish to, subscribe to or receive `topic` (or filter)."""
    levels = topic.split("/")
    if _SERVER_USER.fullmatch(user):
        if topic.startswith("cymba/bridge/"):
            return topic == f"cymba/bridge/{user}/echo"
        direction = "down" if action is Action.PUBLISH else "up"
        return len(levels) == 5 and levels[:2] == ["cymba", "v1"] and levels[3] == direction
    if len(levels) != 5 or levels[:3] != ["cymba", "v1", user]:
        return False
    if action is Action.PUBLISH:
        return levels[3] == "up" and levels[4] in _UP
    return levels[3] == "down" and levels[4] in _DOWN


class JudgedAlready(BaseAuthPlugin):  # type: ignore[misc] # amqtt ships no types
    """amqtt wants an opinion on each client; `Door` has given it."""

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
        return may(session.username or "", action, topic)


class _Rereader(StreamReaderAdapter):  # type: ignore[misc] # amqtt ships no types
    """Gives once more what `judge` has read, then the stream."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._record: bytearray | None = bytearray()
        self._again = b""

    def rewind(self) -> None:
        self._again, self._record = bytes(self._record or b""), None

    async def read(self, n: int = -1) -> bytes:
        if self._again:
            taken, self._again = self._again[:n], self._again[n:]
            return taken
        data: bytes = await super().read(n)
        if self._record is not None:
            self._record += data
        return data


class _Subscriptions(dict[str, list[tuple[MqttSession, int]]]):
    """Iterates over a copy. amqtt awaits while it iterates over its subscriptions, and fails
    half-way if a client subscribes meanwhile: the message is lost, or the connection is left
    standing with nobody behind it."""

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(super().__iter__()))

    def items(self) -> Any:
        return tuple(super().items())


class _Broker(Broker):  # type: ignore[misc] # amqtt ships no types
    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._subscriptions = _Subscriptions()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: MqttSession
    ) -> None:
        """amqtt greets each client with what is retained for everybody's subscriptions."""
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


async def serve(
    port: int, door: Door, *, open_topics: bool, started: Callable[[int], None], stop: asyncio.Event
) -> None:
    """Run a broker on the loopback `port` until `stop`; `started` is told the port it got."""
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
                verdict = await door.judge(await ConnectPacket.from_stream(client))
                if verdict != ADMITTED:
                    await ConnackPacket.build(0, verdict).to_stream(answers)
                    await answers.close()
                    return
            client.rewind()
            await broker.external_connected(client, answers, LISTENER)
        except (AMQTTError, MQTTError, OSError, TimeoutError, EOFError) as error:
            log.info("a client left without a goodbye", error=repr(error))
        except Exception:
            log.exception("the broker failed a client")
        finally:
            # Whatever happened: no client may believe that somebody still listens.
            writer.close()

    server = await asyncio.start_server(welcome, HOST, port)
    started(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()
    await broker.shutdown()


def run(
    database_url: str | None, *, port: int, secret: str, started: Callable[[int], None]
) -> None:
    """Run a broker in this process until SIGTERM or SIGINT.

    Raises:
        OSError: the port is taken.
    """
    asyncio.run(_run(database_url, port, secret, started))


async def _run(
    database_url: str | None, port: int, secret: str, started: Callable[[int], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if database_url is None:
        await serve(port, Door(secret, None), open_topics=True, started=started, stop=stop)
        return
    engine = make_engine(database_url, pool_size=4, application_name="cymba-broker")

    def check(device_id: str, device_secret: str) -> bool:
        with Session(engine) as session:
            return authenticate(session, device_id, device_secret)

    try:
        await serve(port, Door(secret, check), open_topics=False, started=started, stop=stop)
    finally:
        engine.dispose()


def _child() -> None:
    """What `start` runs: its wishes come on standard input, the port goes to standard output."""
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    wishes: dict[str, Any] = json.loads(sys.stdin.readline())

    def end_with_parent() -> None:
        sys.stdin.read()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    run(
        wishes["database_url"],
        port=wishes["port"],
        secret=wishes["secret"],
        started=lambda port: print(port, flush=True),  # noqa: T201 - to the parent
    )


if __name__ == "__main__":
    _child()
