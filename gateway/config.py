"""What the gateway is set up with: who it is to the server, and which device it is beside."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from cymba.devices.messages import Side
from cymba.devices.models import Model
from cymba.whole_file import replaced


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.json` in the gateway's folder. It holds the device's secret, so only its owner may
    read it. `model` is its whole document, and `highest_level` and `longest_s` are the person's own
    limits: so all of them hold offline too."""

    device_id: str
    secret: str
    model: Model
    programme_key: str | None
    server: str  # mqtt[s]://host[:port] or http[s]://host[:port]
    kind: str  # of the driver
    address: str
    side: Side = "both"
    highest_level: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    longest_s: Annotated[int, Meta(ge=1, le=86_400)] | None = None


class NotSetUp(Exception):
    """There is no configuration, or it cannot be read. The message says what to do."""


def read_config(folder: Path) -> GatewayConfig:
    """
    Raises:
        NotSetUp: see there.
    """
    path = folder / "gateway.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=GatewayConfig)
    except FileNotFoundError:
        raise NotSetUp(f"{folder} is not set up yet: run `cymba gateway set-up` first") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NotSetUp(f"{path} cannot be read ({error}): set it up again") from None


class _Named(msgspec.Struct):
    device_id: str


def device_of(folder: Path) -> str | None:
    """Whose records the folder keeps, also where the rest of its configuration cannot be read."""
    try:
        return msgspec.json.decode((folder / "gateway.json").read_bytes(), type=_Named).device_id
    except (OSError, msgspec.MsgspecError):
        return None


def write_config(folder: Path, config: GatewayConfig) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "gateway.json"
    with replaced(path) as out:
        out.write(msgspec.json.format(msgspec.json.encode(config)))
    return path
