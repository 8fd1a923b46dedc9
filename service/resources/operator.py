"""What an operator sees and does: processes, queues, devices, quarantine, suspensions.

Nothing of it is about a person's health: no reading, no session, no holder. Whatever names a device
is in the operator's own audit log, and what changes something also in that of its holder.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor, note
from cymba.accounts.tokens import Caller
from cymba.errors import Forbidden, NotFound
from cymba.operations import fleet
from cymba.operations.devices import STATES
from cymba.operations.status import read_status
from cymba.stimulation.ingest import quarantine
from cymba.stimulation.wire.messages import MAX_INTEGER
from service.http import out
from service.http.answers import answer, nothing
from service.http.bearer import current_account, require_token
from service.http.fields import Schema, Text
from service.http.openapi import Resource
from service.http.paging import PageQuerySchema, next_cursor_field, opened_cursor, seal_cursor
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

Key = TypeVar("Key", str, int)

blp = Resource("operator", "For operators: what runs, what waits, and how the devices are")


class RunningProcessSchema(Schema):
    name = out.text("seal", "As its command: `api`, `bridge-0`, `seal` …")
    connections = out.whole(2, "To the database")
    connected_at = out.instant("2026-03-01T09:00:00.000000Z")
    quiet_s = out.number(0.4, "Since it last asked the database anything")


class QueueSchema(Schema):
    waiting = out.whole(3)
    oldest_at = out.instant("2026-03-01T09:59:58.000000Z", "Since when; null: none", null=True)


class FirmwareCountSchema(Schema):
    name = out.text("2.1.0", "As the devices report it, so it may be anything", null=True)
    devices = out.whole(120)


class FleetBacklogSchema(Schema):
    """What devices said they hold when they last spoke."""

    devices = out.whole(4)
    frames = out.whole(8_100)


class RecentSessionsSchema(Schema):
    """Sessions that began within a day, by how much of them is here."""

    complete = out.whole(310)
    incomplete = out.whole(12)
    open = out.whole(5, "Their end has not come")
    share = out.number(0.991, "Mean of those that are known", null=True)


class CellSchema(Schema):
    """A broker with its bridges."""

    name = out.text("first")
    address = out.text("mqtts://broker.example.org", "As devices are told it", null=True)
    devices = out.whole(120)
    coming = out.whole(0, "Devices that are to move here and have not come yet")


class OperatorStatusSchema(Schema):
    at = out.instant("2026-03-01T10:00:00.000000Z")
    processes = out.many(RunningProcessSchema)
    missing = out.many(out.text("mail"), "Parts that are not connected", example=["mail"])
    queues = out.table(
        {"summaries": {"waiting": 3, "oldest_at": "2026-03-01T09:59:58.000000Z"}},
        values=QueueSchema,
    )
    quarantine = out.table(
        {"schema": 2}, "Frames that wait for a replay, by code", values=out.whole(2)
    )
    states = out.table({"online": 80, "offline": 41}, "Devices by state", values=out.whole(80))
    firmwares = out.many(FirmwareCountSchema, "The most common ones")
    backlog = out.nested(FleetBacklogSchema)
    sessions = out.nested(RecentSessionsSchema)
    cells = out.many(CellSchema)


class FleetQuerySchema(PageQuerySchema):
    state = Text(validate=ma.validate.OneOf(STATES), about="Only those", example="online")
    firmware = Text(validate=ma.validate.Length(max=200), about="Only those", example="2.1.0")


class FleetDeviceSchema(Schema):
    id = out.text("ey5f0c4e0b7c1d2a39")
    serial = out.text("EY4T7KQ2M9XD")
    model = out.text("ear_cymba")
    state = out.text("online", one_of=STATES)
    firmware = out.text("2.1.0", "As it reports it, so it may be anything", null=True)
    seen_at = out.instant("2026-03-01T09:58:00.000000Z", null=True)
    backlog_frames = out.whole(0, "That it said it holds", null=True)
    completeness = out.number(
        0.98, "Mean share of its sessions of the last day that is here", null=True
    )


class FleetPageSchema(Schema):
    items = out.many(FleetDeviceSchema)
    next_cursor = next_cursor_field()


class QuarantineQuerySchema(PageQuerySchema):
    code = Text(validate=ma.validate.Length(max=32), about="Only those", example="schema")
    device_id = Text(validate=ma.validate.Length(max=32), about="Only those")


class QuarantinedSchema(Schema):
    """A frame that was rejected for good, without what it holds."""

    id = out.whole(17)
    device_id = out.text("ey5f0c4e0b7c1d2a39")
    code = out.text("schema", "Why")
    payload_bytes = out.whole(412)
    times_seen = out.whole(1)
    received_at = out.instant("2026-03-01T09:12:00.000000Z")


class QuarantinePageSchema(Schema):
    items = out.many(QuarantinedSchema)
    next_cursor = next_cursor_field()


class ReplayOutcomeSchema(Schema):
    outcome = out.text("stored", "`stored`, `duplicate`, or why it still waits")
    is_settled = out.flag(True, "It waits no longer")


class SuspendedDeviceSchema(Schema):
    device_id = out.text("ey5f0c4e0b7c1d2a39")
    suspended_at = out.instant("2026-03-01T09:55:00.000000Z")
    until = out.instant("2026-03-01T10:05:00.000000Z")


class SuspendedPageSchema(Schema):
    items = out.many(SuspendedDeviceSchema)
    next_cursor = next_cursor_field()


_status_shown = writer(OperatorStatusSchema)
_device_shown = writer(FleetDeviceSchema)
_frame_shown = writer(QuarantinedSchema)
_suspended_shown = writer(SuspendedDeviceSchema)
_replay_shown = writer(ReplayOutcomeSchema)


def current_operator(session: Session) -> Caller:
    """The operator who asks.

    Raises:
        Forbidden: the account is no operator's (any more).
    """
    caller = current_account(session)
    if caller.role != "operator":
        raise Forbidden("Only an operator's account may ask this.")
    return caller


@blp.get("/v1/operator/status")
@blp.guard(require_token, "operator")
@blp.answers(200, OperatorStatusSchema)
@blp.problems("forbidden")
def show_status() -> Response:
    """See what runs, what waits, and how the devices are"""
    with transaction() as session:
        current_operator(session)
        status = read_status(session, services().now())
    return answer(_status_shown(status))


@blp.get("/v1/operator/devices")
@blp.guard(require_token, "operator")
@blp.query(FleetQuerySchema)
@blp.answers(200, FleetPageSchema)
@blp.problems("forbidden")
def list_fleet(query: dict[str, Any]) -> Response:
    """List devices by state and firmware, with backlog and completeness"""
    asked: dict[str, Any] = {name: query.get(name) for name in ("state", "firmware")}
    with transaction() as session:
        operator = current_operator(session)
        read = partial(fleet.page, session, services().now(), **asked)
        body = _page(query, f"devices/{operator.id}/{asked}", read, "", _device_shown)
        _note(session, operator, "operator.devices_listed")
    return answer(body)


@blp.get("/v1/operator/quarantine")
@blp.guard(require_token, "operator")
@blp.query(QuarantineQuerySchema)
@blp.answers(200, QuarantinePageSchema)
@blp.problems("forbidden")
def list_quarantine(query: dict[str, Any]) -> Response:
    """List the frames in quarantine that wait, the oldest first, without what they hold"""
    asked: dict[str, Any] = {name: query.get(name) for name in ("code", "device_id")}
    with transaction() as session:
        operator = current_operator(session)
        read = partial(quarantine.page, session, **asked)
        body = _page(query, f"quarantine/{operator.id}/{asked}", read, 0, _frame_shown)
        _note(session, operator, "operator.quarantine_listed")
    return answer(body)


@blp.post("/v1/operator/quarantine/<int:quarantine_id>/replay")
@blp.guard(require_token, "operator")
@blp.answers(200, ReplayOutcomeSchema)
@blp.problems("forbidden", "conflict")
def replay_quarantined(quarantine_id: int) -> Response:
    """Ingest a frame of quarantine again, as if it arrived now

    For after an upgrade that understands it. Nothing is stored twice, however often it is replayed;
    once it is settled, a further replay is a conflict.
    """
    if quarantine_id > MAX_INTEGER:
        raise NotFound(f"nothing in quarantine has the id {quarantine_id}")
    with transaction() as session:
        operator = current_operator(session)
        replayed = fleet.replay(session, quarantine_id, _actor(operator))
        outcome = quarantine.get(session, quarantine_id).replay_outcome
        _note(session, operator, "operator.quarantine_replayed", frame=quarantine_id)
    return answer(_replay_shown({"outcome": outcome, "is_settled": replayed.is_settled}))


@blp.get("/v1/operator/suspensions")
@blp.guard(require_token, "operator")
@blp.query(PageQuerySchema)
@blp.answers(200, SuspendedPageSchema)
@blp.problems("forbidden")
def list_suspensions(query: dict[str, Any]) -> Response:
    """List the devices that are kept out because they flood the broker"""
    with transaction() as session:
        operator = current_operator(session)
        read = partial(fleet.suspended, session)
        body = _page(query, f"suspensions/{operator.id}", read, "", _suspended_shown)
        _note(session, operator, "operator.suspensions_listed")
    return answer(body)


@blp.delete("/v1/operator/suspensions/<device_id:device_id>")
@blp.guard(require_token, "operator")
@blp.answers(204, description="Lifted, or over before")
@blp.problems("forbidden")
def lift_suspension(device_id: str) -> Response:
    """Let a suspended device in before its time

    If it floods the broker again it is suspended again.
    """
    with transaction() as session:
        operator = current_operator(session)
        if fleet.lift_suspension(session, device_id, _actor(operator), services().now()):
            _note(session, operator, "operator.suspension_lifted", device=device_id)
    return nothing()


def _page(
    query: Mapping[str, Any],
    scope: str,
    read: Callable[..., Sequence[Any]],
    first: Key,
    show: Callable[[Any], dict[str, Any]],
) -> dict[str, Any]:
    """A page of rows in the rising order of what their first field is."""
    scope, limit = f"operator/{scope}", query["limit"]
    kind: Any = tuple[str] if isinstance(first, str) else tuple[int]
    opened = opened_cursor(scope, query, kind)
    rows = read(after=first if opened is None else opened[0], limit=limit + 1)
    next_cursor = seal_cursor(scope, (rows[limit - 1][0],)) if len(rows) > limit else None
    return {"items": [show(row) for row in rows[:limit]], "next_cursor": next_cursor}


def _actor(operator: Caller) -> Actor:
    return Actor("operator", str(operator.id))


def _note(session: Session, operator: Caller, action: str, **detail: Any) -> None:
    """In the operator's own log, so that others see what they looked at."""
    note(session, operator.id, _actor(operator), action, **detail)
