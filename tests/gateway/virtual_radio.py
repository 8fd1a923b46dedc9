"""A Bluetooth controller that is software alone, a peripheral on it, and bleak speaking to it."""

import asyncio
from collections.abc import Callable
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError
from bumble.controller import Controller
from bumble.core import ProtocolError
from bumble.device import Connection, Device, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

BAND_ADDRESS = "F0:F1:F2:F3:F4:F5"


class VirtualBand:
    """A peripheral with the Nordic UART service, in the air of one test."""

    def __init__(self, service: str, write: str, notify: str | None) -> None:
        link = LocalLink()
        self.central = _device("desk", "C0:C1:C2:C3:C4:C5", link)
        self.peripheral = _device("band", BAND_ADDRESS, link)
        self.written: list[bytes] = []
        self.answers: dict[bytes, list[bytes]] = {}
        self._told = Characteristic(
            notify, Characteristic.Properties.NOTIFY, Characteristic.READABLE, b""
        )
        self._taken = Characteristic(
            write,
            Characteristic.Properties.WRITE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=self._take),
        )
        self.peripheral.add_service(Service(service, [self._told, self._taken]))

    async def switch_on(self) -> None:
        await self.central.power_on()
        await self.peripheral.power_on()
        await self.peripheral.start_advertising(auto_restart=True)

    async def go_away(self) -> None:
        for connection in list(self.peripheral.connections.values()):
            await connection.disconnect()

    def _take(self, connection: Connection, value: bytes) -> None:
        self.written.append(value)
        for piece in self.answers.get(value, []):
            self._told.value = piece
            asyncio.ensure_future(  # noqa: RUF006 - the loop ends with the test
                self.peripheral.notify_subscriber(connection, self._told, piece)
            )

    def backend(self) -> type[BaseBleakClient]:
        central = self.central

        class OnThisAir(BumbleClient):
            device = central

        return OnThisAir


class BumbleClient(BaseBleakClient):
    """What bleak asks of a platform, on the virtual controller."""

    device: Device
    _connection: Connection | None = None
    _peer: Peer | None = None

    async def connect(self, pair: bool, **_: Any) -> None:
        del pair
        try:
            connection = await self.device.connect(self.address)
        except (ProtocolError, TimeoutError) as error:
            raise BleakError(str(error)) from error
        self._connection, self._peer = connection, Peer(connection)
        connection.on("disconnection", self._on_disconnection)
        await self._peer.discover_all()
        self.services = BleakGATTServiceCollection()
        for service in self._peer.services:
            ours = BleakGATTService(service, service.handle, str(service.uuid).lower())
            self.services.add_service(ours)
            for one in service.characteristics:
                properties = [
                    name
                    for flag, name in (
                        (Characteristic.Properties.WRITE, "write"),
                        (Characteristic.Properties.NOTIFY, "notify"),
                    )
                    if flag in one.properties
                ]
                self.services.add_characteristic(
                    BleakGATTCharacteristic(
                        one, one.handle, str(one.uuid).lower(), properties, lambda: 20, ours
                    )
                )

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def mtu_size(self) -> int:
        return 23

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: Any, response: bool
    ) -> None:
        if self._connection is None:
            raise BleakError("not connected")
        await characteristic.obj.write_value(bytes(data), with_response=response)

    async def start_notify(
        self,
        characteristic: BleakGATTCharacteristic,
        callback: Callable[[bytearray], None],
        **_: Any,
    ) -> None:
        await characteristic.obj.subscribe(lambda value: callback(bytearray(value)))

    async def _never(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    pair = unpair = read_gatt_char = read_gatt_descriptor = _never
    write_gatt_descriptor = stop_notify = _never


def _device(name: str, address: str, link: LocalLink) -> Device:
    controller = Controller(f"controller of {name}", link=link)
    host = Host(controller, AsyncPipeSink(controller))
    return Device(name=name, address=Address(address), host=host)
