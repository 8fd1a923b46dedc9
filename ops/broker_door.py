"""Who may connect to the embedded broker, and for how long."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hmac import compare_digest
from typing import NamedTuple

import structlog
from amqtt.mqtt.connack import BAD_USERNAME_PASSWORD, CONNECTION_ACCEPTED, SERVER_UNAVAILABLE
from amqtt.mqtt.connect import ConnectPacket
from sqlalchemy.exc import SQLAlchemyError

from cymba.devices.broker_rights import TopicAccess, is_bridge, is_theirs

RECHECK_S = 0.5  # how long a connection may outlive its secret
ADMITTED, REFUSED, UNAVAILABLE = (
    int(code) for code in (CONNECTION_ACCEPTED, BAD_USERNAME_PASSWORD, SERVER_UNAVAILABLE)
)
log = structlog.get_logger(__name__)

CheckDevice = Callable[[str, str], str | None]
"""From a device's id and secret to the hash that lets it in."""

CurrentHashes = Callable[[Collection[str]], dict[str, str]]
"""From devices' ids to their present hashes; devices that may not come are left out."""


class ConnectVerdict(NamedTuple):
    """The return code of CONNACK, and the hash by which a device was let in."""

    code: int
    secret_hash: str | None = None


class Door:
    """Admits a device by its own secret, and the bridges by theirs."""

    def __init__(self, secret: str, check_device: CheckDevice | None) -> None:
        """`check_device` None admits everybody."""
        self._secret = secret
        self._check_device = check_device

    async def judge(self, connect: ConnectPacket) -> ConnectVerdict:
        """`ADMITTED`, `REFUSED`, or `UNAVAILABLE` for now."""
        if self._check_device is None:
            return ConnectVerdict(ADMITTED)
        user, password = connect.username or "", connect.password or ""
        # The client id is the user name, so that no client can evict another's connection; and a
        # will must be the client's own, since amqtt sends it unasked.
        if connect.client_id != user or (
            connect.will_flag and not is_theirs(user, TopicAccess.PUBLISH, connect.will_topic or "")
        ):
            return ConnectVerdict(REFUSED)
        if is_bridge(user):
            right = compare_digest(password.encode(), self._secret.encode())
            return ConnectVerdict(ADMITTED if right else REFUSED)
        try:
            secret_hash = await asyncio.to_thread(self._check_device, user, password)
        except SQLAlchemyError as error:
            log.warning("cannot ask the database", error=str(error).splitlines()[0])
            return ConnectVerdict(UNAVAILABLE)
        return (
            ConnectVerdict(REFUSED)
            if secret_hash is None
            else ConnectVerdict(ADMITTED, secret_hash)
        )


class Guests:
    """The connected devices: each may stay as long as the secret that admitted it."""

    def __init__(self, current_hashes: CurrentHashes) -> None:
        self._current_hashes = current_hashes
        self._lines: dict[asyncio.StreamWriter, tuple[str, str]] = {}

    @contextmanager
    def stay(
        self, line: asyncio.StreamWriter, user: str, verdict: ConnectVerdict
    ) -> Iterator[None]:
        if verdict.secret_hash is not None:
            self._lines[line] = (user, verdict.secret_hash)
        try:
            yield
        finally:
            self._lines.pop(line, None)

    async def watch(self) -> None:
        """Cut the connections whose secret was replaced or revoked, or whose device has gone to
        another cell, until cancelled."""
        while True:
            await asyncio.sleep(RECHECK_S)
            ids = {device_id for device_id, _ in self._lines.values()}
            if not ids:
                continue
            try:
                current = await asyncio.to_thread(self._current_hashes, ids)
            except SQLAlchemyError as error:
                log.warning("cannot ask the database", error=str(error).splitlines()[0])
                continue
            for line, (device_id, secret_hash) in tuple(self._lines.items()):
                if device_id in ids and current.get(device_id) != secret_hash:
                    log.info(
                        "a device is cut off: its secret was replaced or revoked, or it has moved",
                        device_id=device_id,
                    )
                    line.transport.abort()
