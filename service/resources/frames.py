"""The HTTP gateway: frames that a phone, or a device without a broker, uploads."""

import math
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response, g, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import UnsupportedMediaType

from cymba.devices.held_devices import held_device
from cymba.errors import TooManyRequests
from cymba.stimulation.ingest.decide import Delivery, payload_name
from cymba.stimulation.ingest.halving import by_halves
from cymba.stimulation.ingest.ingest import Ingested, gave_up, ingest
from cymba.stimulation.wire.messages import Ack, Rejection, SamplesFrame, to_json
from cymba.stimulation.wire.parsing import split_cbor
from service.http import out
from service.http.answers import MEDIA_TYPE
from service.http.bearer import current_account, require_token
from service.http.device_login import check_is_own, is_by_device, require_device
from service.http.fields import Schema, validation_failed
from service.http.json_bodies import InvalidJson, whole_body
from service.http.openapi import Resource
from service.http.services import services
from service.http.structs import schema_of
from service.http.transaction import transaction

blp = Resource("frames", "Telemetry that comes over HTTP")

MAX_FRAMES = 1_000
MAX_BODY_BYTES = 4 * 1024 * 1024
_TOO_FAST = "The frames come too fast. Keep them."
CBOR_SEQUENCE = "application/cbor-seq"

FRAME_EXAMPLE = SamplesFrame(
    v=1,
    store=3735928559,
    seq=4211,
    boot=17,
    sid=UUID("6f0c2d9e-8a51-4c0e-9d0b-3f6a1c2b4d5e"),
    up=123456789,
    dt=1000,
    n=2,
    c={"amplitude_ua": [1500, 1500], "heart_rate_bpm": [72, None]},
)
CONTENT = {
    MEDIA_TYPE: {
        "schema": {
            "type": "array",
            "maxItems": MAX_FRAMES,
            "items": {
                "type": "object",
                "description": "A frame of the device protocol, version 1, as the device made it",
                "additionalProperties": True,
            },
        },
        "example": [msgspec.json.decode(to_json(FRAME_EXAMPLE))],
    },
    CBOR_SEQUENCE: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "The same frames as a CBOR sequence (RFC 8742)",
        }
    },
}


FrameRejectionSchema = schema_of(
    Rejection,
    "FrameRejectionSchema",
    example=Rejection(code="rate", detail="the frames come too fast", retry=True, seq=4212),
    about={
        "retry": "Keep it and send it again later",
        "payload": "Where no `seq` can be named: the first 16 hexadecimal digits of the SHA-256 of "
        "the frame's bytes as they were sent",
    },
    # The list of codes may grow.
    code=out.text("rate"),
)
AckSchema = schema_of(
    Ack,
    "AckSchema",
    example=Ack(upto=4200, store=3735928559, also=[(4205, 4211)]),
    about={
        "upto": "All of 1 … `upto` is resolved",
        "also": "Ranges beyond `upto` that are resolved too",
        "max_frames_per_s": "The rate to keep to from now on",
    },
    rejected=ma.fields.List(ma.fields.Nested(FrameRejectionSchema)),
)
"""What is stored for good, of one flash store: as on `down/ack`."""


class AcksSchema(Schema):
    acks = out.many(AckSchema)


def require_uploader() -> None:
    """Let in the device's holder by a bearer token, or the device itself by its MQTT secret.

    Raises:
        Unauthenticated: neither is given, or it is not good.
    """
    g.charged_apart = True
    if is_by_device():
        require_device()
    else:
        require_token()


@blp.post("/v1/devices/<device_id:device_id>/frames")
@blp.guard(require_uploader, "bearer", "device")
@blp.raw_body(CONTENT, max_bytes=MAX_BODY_BYTES)
@blp.answers(200, AcksSchema)
@blp.problems("not-found", "rate")
def upload_frames(device_id: str) -> Response:
    """Upload frames of a device, from a phone that holds them or from the device itself

    The frames, the key by which each is stored once and the acknowledgement are those of the device
    protocol, so the same frames may go over MQTT at the same time. Send them as the device made
    them, but without `sent` unless they came from it this very moment; free only what is acked. In
    a CBOR sequence an item that cannot be read hides those after it: send them again one by one.
    """
    # Before the body is read: may the caller upload, and has the device paid for rejected frames?
    with transaction() as session:
        account_id = _uploader(session, device_id)
    debt_s = services().rate_limits.debt_s(device_id, monotonic())
    if debt_s > 0:
        raise TooManyRequests(_TOO_FAST, retry_after_s=math.ceil(debt_s))
    admitted, refused, pace = _admit(device_id, _frames(), account_id)
    arrived_at = services().now()

    def store(deliveries: Sequence[Delivery]) -> Ingested:
        with services().quota.reserve() as quota, transaction() as session:
            _uploader(session, device_id)
            return ingest(session, deliveries, quota=quota)

    # Not `settled`: a phone may have held the frames for a while.
    deliveries = [Delivery(device_id, frame, arrived_at, settled=False) for frame in admitted]
    acks: list[Ack] = []
    rejected_bytes = 0
    for part in by_halves(deliveries, store, gave_up):
        acks += [ack for _, ack in part.acks]
        rejected_bytes += part.rejected_bytes().get(device_id, 0)
    services().rate_limits.charge_rejected(device_id, rejected_bytes, monotonic())
    if refused:
        acks.append(Ack(upto=0, rejected=[_rate(frame) for frame in refused]))
    paced = [msgspec.structs.replace(ack, max_frames_per_s=pace) for ack in acks]
    return Response(msgspec.json.encode({"acks": paced}), content_type=MEDIA_TYPE)


def _uploader(session: Session, device_id: str) -> UUID | None:
    """The account that uploads; None where the device itself does.

    Raises:
        NotFound: the caller has no such device.
    """
    if is_by_device():
        check_is_own(device_id)
        return None
    account_id = current_account(session).id
    held_device(session, account_id, device_id)
    return account_id


def _frames() -> list[bytes]:
    body = whole_body(request)
    frames: list[bytes]
    if request.mimetype == CBOR_SEQUENCE:
        frames = split_cbor(body, MAX_FRAMES + 1)
    elif request.mimetype == MEDIA_TYPE:
        try:
            frames = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, RecursionError):
            raise InvalidJson("The body is not an array of JSON.") from None
    else:
        raise UnsupportedMediaType
    if len(frames) > MAX_FRAMES:
        raise validation_failed({"json": [f"More than {MAX_FRAMES} frames."]})
    return frames


def _admit(
    device_id: str, frames: Sequence[bytes], account_id: UUID | None
) -> tuple[list[bytes], list[bytes], float | None]:
    """The frames that may come in now, the others, and the rate to keep to from now on.

    Raises:
        TooManyRequests: none may.
    """
    account = None if account_id is None else str(account_id)
    admitted: list[bytes] = []
    refused: list[bytes] = []
    pace = None
    for frame in frames:
        admission = services().rate_limits.admit(
            device_id, len(frame), monotonic(), account_id=account
        )
        (admitted if admission.admitted else refused).append(frame)
        pace = admission.max_frames_per_s
    if refused and not admitted:
        wait_s = 1 if pace is None else math.ceil(1 / pace)
        raise TooManyRequests(_TOO_FAST, retry_after_s=wait_s)
    return admitted, refused, pace


def _rate(frame: bytes) -> Rejection:
    return Rejection(
        code="rate", detail="the frames come too fast", retry=True, payload=payload_name(frame)
    )
