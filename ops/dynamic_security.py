"""Mosquitto's dynamic security: clients and rights, changed by messages to `$CONTROL`, no restart.

Each device has a role of its own, with its own topics: `%u` means nothing there in Mosquitto 2.0.
The form of commands and of the state's file: mosquitto.org/documentation/dynamic-security
"""

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.broker_address import BrokerAddress
from cymba.devices.tables import Device
from cymba.settings import Settings

USER = "control"
TOPIC = "$CONTROL/dynamic-security/v1"
TIMEOUT_S = 30.0
# The shipped broker takes packets of 20 KiB, and a device needs two commands of 600 bytes in all.
DEVICES_AT_ONCE = 25
_LOCK = 0x63796D62_64796E73  # "cymbdyns": the control among the database's advisory locks
_SERVERS = re.compile(rf"{USER}|health|bridge-\d+")
_EXIST_NOT = {"Client not found", "Role not found"}

Json = dict[str, Any]


class ControlFailed(Exception):
    """The broker was not told: it does not answer, or refuses."""


def device_role(device_id: str) -> Json:
    root = f"cymba/v1/{device_id}"
    return _role(device_id, says=[f"{root}/up/+"], hears=[f"{root}/down/#"])


def server_role(user: str) -> Json:
    """The rights of a bridge's slot, of the health check, or of whoever may change rights."""
    if user == USER:
        return _role(user, says=[TOPIC], hears=[f"{TOPIC}/response"])
    if user == "health":
        return _role(user, hears=["$SYS/broker/uptime"])
    own = f"cymba/bridge/{user}/echo"
    says = ["cymba/v1/+/down/+", "cymba/v1/+/up/presence", own]  # presence is taken off the broker
    return _role(user, says=says, hears=["cymba/v1/+/up/+", own], share=True)


def document(session: Session, servers: Mapping[str, str]) -> str:
    """The plugin's whole state: the devices that have a secret, and `servers`, each with the hash
    of its password."""
    rows = session.execute(
        select(Device.id, Device.secret_hash)
        .where(Device.secret_hash.is_not(None))
        .order_by(Device.id)
    )
    devices = {device_id: stored for device_id, stored in rows if stored is not None}
    everybody = {**servers, **devices}
    state = {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": False,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [_client(user, stored) for user, stored in everybody.items()],
        "roles": [*map(server_role, servers), *map(device_role, devices)],
    }
    return json.dumps(state, indent=1) + "\n"


@contextmanager
def open_control(settings: Settings, engine: Engine) -> Iterator["Control | None"]:
    """The broker's control, where `broker_control_url` names it.

    One at a time: they share a user name, and with it the client id.

    Raises:
        ControlFailed: the broker does not answer, or another is at it.
    """
    if settings.broker_control_url is None:
        yield None
        return
    address = BrokerAddress.parse(settings.broker_control_url, settings)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(_LOCK))):
            raise ControlFailed("another command is telling the broker of devices; try again")
        try:
            with Control(address) as control:
                yield control
        finally:
            connection.execute(select(func.pg_advisory_unlock(_LOCK)))


class Control:
    """A connection by which a running broker is told of devices.

    Raises:
        ControlFailed: on entering and from every method.
    """

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._answers: dict[str, Json] = {}
        self._changed = threading.Condition()
        self._entered: str | None = None
        self._client = self._make_client()

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._address.host, self._address.port)
        except OSError as error:
            raise ControlFailed(f"the broker does not answer: {error}") from None
        self._client.loop_start()
        with self._changed:
            answered = self._changed.wait_for(lambda: self._entered is not None, TIMEOUT_S)
        if not answered or self._entered:
            self._leave()
            raise ControlFailed(f"the broker lets nobody in: {self._entered or 'no answer'}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def add(self, devices: Iterable[tuple[str, str]]) -> None:
        """Make devices known, each (id, secret); one that is known gets the new secret, and is
        disconnected if it is connected."""
        waiting: list[tuple[str, str]] = []
        for device in devices:
            waiting.append(device)
            if len(waiting) == DEVICES_AT_ONCE:
                self._add(waiting)
                waiting.clear()
        if waiting:
            self._add(waiting)

    def remove(self, device_ids: Iterable[str]) -> None:
        """Let devices in no more, and disconnect them; one that is not known is passed over.

        They are removed and not disabled, since a certificate would let in a disabled one.
        """
        for device_id in device_ids:
            self._order(
                [
                    {"command": "deleteClient", "username": device_id},
                    {"command": "deleteRole", "rolename": device_id},
                ],
                passed_over=_EXIST_NOT,
            )

    def devices(self) -> set[str]:
        """The ids of all devices that are known."""
        (answer,) = self._order([{"command": "listClients", "count": -1, "offset": 0}])
        return {user for user in answer["data"]["clients"] if not _SERVERS.fullmatch(user)}

    def _add(self, devices: list[tuple[str, str]]) -> None:
        known = {f"{kind} already exists" for kind in ("Client", "Role")}
        roles = [{"command": "createRole", **device_role(device_id)} for device_id, _ in devices]
        clients = [
            {
                "command": "createClient",
                "username": device_id,
                "password": secret,
                "clientid": device_id,
                "roles": [{"rolename": device_id}],
            }
            for device_id, secret in devices
        ]
        answers = self._order([*roles, *clients], passed_over=known)
        again = [
            {"command": "setClientPassword", "username": device_id, "password": secret}
            for (device_id, secret), answer in zip(devices, answers[len(roles) :], strict=True)
            if "error" in answer
        ]
        if again:
            self._order(again)

    def _order(self, commands: list[Json], passed_over: Iterable[str] = ()) -> list[Json]:
        """Send commands and wait for the answer to each."""
        # Every user of the topic hears all answers: ours are known by what was sent along.
        names = [secrets.token_hex(8) for _ in commands]
        numbered = [
            {**command, "correlationData": name}
            for command, name in zip(commands, names, strict=True)
        ]
        self._client.publish(TOPIC, json.dumps({"commands": numbered}), qos=1)
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers.keys() >= set(names), TIMEOUT_S):
                raise ControlFailed("the broker does not answer; is its dynamic security on?")
            answers = [self._answers.pop(name) for name in names]
        for answer in answers:
            if answer.get("error", "") not in {"", *passed_over}:
                raise ControlFailed(f"the broker refuses {answer['command']}: {answer['error']}")
        return answers

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=USER,
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        client.username_pw_set(self._address.username, self._address.password)
        context = self._address.tls_context()
        if context is not None:
            client.tls_set_context(context)

        def entered(_c: Client, _data: object, _flags: object, reason: Any, _p: object) -> None:
            if reason.is_failure:
                self._tell(lambda: setattr(self, "_entered", str(reason)))
            else:
                client.subscribe(f"{TOPIC}/response", 1)

        def subscribed(_c: Client, _d: object, _mid: int, reasons: list[Any], _p: object) -> None:
            refused = "no right to change rights" if reasons[0].is_failure else ""
            self._tell(lambda: setattr(self, "_entered", refused))

        def answered(_client: Client, _data: object, message: MQTTMessage) -> None:
            answers = json.loads(message.payload)["responses"]
            self._tell(
                lambda: self._answers.update(
                    {one["correlationData"]: one for one in answers if "correlationData" in one}
                )
            )

        client.on_connect, client.on_subscribe = entered, subscribed
        client.on_message = answered
        return client

    def _tell(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def _leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _role(
    name: str, *, says: Iterable[str] = (), hears: Iterable[str] = (), share: bool = False
) -> Json:
    hears = list(hears)
    filters = [*hears, *(f"$share/+/{topic}" for topic in hears if share)]
    acls = [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind, topics in (
            ("publishClientSend", says),
            ("publishClientReceive", hears),
            ("subscribePattern", filters),
        )
        for topic in topics
    ]
    return {"rolename": name, "acls": acls}


def _client(user: str, stored: str) -> Json:
    _, _, iterations, salt, digest = stored.split("$")
    return {
        "username": user,
        "clientid": user,
        "roles": [{"rolename": user}],
        "password": digest,
        "salt": salt,
        "iterations": int(iterations),
    }
