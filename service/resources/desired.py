"""What is desired of a device that has no broker, and what it says of it.

The same signed message as on `down/desired`, and the same report as on `up/state`. Only the device
itself asks: what it reports is believed of it.
"""

from time import monotonic
from typing import Any

import msgspec
from flask import Response

from cymba.devices.messages import Desired, Programme, ReportedState
from cymba.devices.programme import record_report
from cymba.devices.publication import retained_message
from cymba.errors import TooManyRequests
from cymba.stimulation.wire.messages import to_json
from service.http import out
from service.http.answers import MEDIA_TYPE, nothing
from service.http.device_login import check_is_own, require_device
from service.http.etags import set_etag
from service.http.openapi import Resource
from service.http.services import services
from service.http.structs import schema_of
from service.http.transaction import transaction
from service.shapes.programmes import ProgrammeLimitsSchema, ShownProgrammeSchema

blp = Resource("desired", "What a device without a broker fetches and reports")

DesiredSchema = schema_of(
    Desired,
    "DesiredSchema",
    example=Desired(
        ver=7,
        programme=Programme(site="neck", native_level=0, duration_s=240),
        limits={"native_level": 3},
        expires=1790812800000,
        signature="cLnckRK4qJLpyrAkvcwpYHV6P6QMqXQ_I_PV4_gn7tCzhcygi24PA3isFAc7KdxREk5Sp_AJ9loRkHA"
        "ZEl6cDg",
    ),
    about={
        "expires": "In ms since 1970; ends the programme, not the limits",
        "signature": "Ed25519 by the key that the device got at provisioning; the protocol's page "
        "says over what",
    },
    programme=out.nested(ShownProgrammeSchema),
    limits=out.nested(ProgrammeLimitsSchema, example={"native_level": 3}),
)
ReportedStateSchema = schema_of(
    ReportedState,
    "ReportedStateSchema",
    example=ReportedState(ver=7, applied=True),
    about={
        "ver": "Of a version that is not above the one it holds: the one it holds, as applied",
        "code": "Why it did not apply it",
    },
)


@blp.get("/v1/devices/<device_id:device_id>/desired")
@blp.guard(require_device, "device")
@blp.answers(200, DesiredSchema)
@blp.answers(204, description="No version was ever set: the model's own limits hold")
@blp.etag
@blp.problems("rate")
def get_desired(device_id: str) -> Response:
    """Read what is desired of this device: its programme, and the limits it keeps to

    The message of the device protocol's `down/desired`, with its signature: verify it before
    anything of it holds, as if it came from the broker. Ask before frames are sent, and at least
    every 30 s, with the ETag of the last one.
    """
    _admit(device_id)
    with transaction() as session:
        desired = retained_message(session, device_id)
    if desired is None:
        return set_etag(nothing(), b"", 0)
    body = to_json(desired)
    return set_etag(Response(body, content_type=MEDIA_TYPE), body, desired.ver)


@blp.put("/v1/devices/<device_id:device_id>/reported")
@blp.guard(require_device, "device")
@blp.body(ReportedStateSchema)
@blp.answers(204, description="Noted")
@blp.problems("rate")
def report_state(given: dict[str, Any], device_id: str) -> Response:
    """Report that this device applied a version, or why not

    The message of the device protocol's `up/state`. After a version that was never set here, or is
    lost, a newer one follows.
    """
    _admit(device_id)
    report = msgspec.convert(given, ReportedState)
    with transaction() as session:
        record_report(session, device_id, report, services().now())
    return nothing()


def _admit(device_id: str) -> None:
    """
    Raises:
        NotFound: another device asks.
        TooManyRequests: it asks far more often than it needs to.
    """
    check_is_own(device_id)
    if not services().rate_limits.admit_message(device_id, monotonic()):
        raise TooManyRequests("The device asks too often.", retry_after_s=1)
