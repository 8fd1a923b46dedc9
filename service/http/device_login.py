"""Which device is asking: HTTP Basic with its id and its MQTT secret."""

from flask import g, request

from cymba.devices.provisioning import authenticate
from cymba.errors import NotFound, Unauthenticated
from service.http.transaction import transaction


def is_by_device() -> bool:
    given = request.authorization
    return given is not None and given.type == "basic"


def require_device() -> None:
    """Let in a device by its own secret, before anything else of the request is looked at.

    Raises:
        Unauthenticated: it is not given, or it is not good.
    """
    given = request.authorization
    if given is None or given.type != "basic":
        raise Unauthenticated("This needs a device's own id and secret, by HTTP Basic.")
    device_id, secret = given.username or "", given.password or ""
    with transaction() as session:
        # PostgreSQL's text holds no NUL; no device's id does either.
        if "\0" in device_id or not authenticate(session, device_id, secret):
            raise Unauthenticated("There is no device with this id and this secret.")
    g.asking_device = device_id


def check_is_own(device_id: str) -> None:
    """
    Raises:
        NotFound: the device that asks is another.
    """
    if g.asking_device != device_id:
        raise NotFound("There is no such device.")
