"""What a person brings from other apps: a file in pieces, a preview, a confirmation, an undo."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from flask import Response, g, request

from cymba.accounts import quotas
from cymba.imports import lifecycle
from cymba.imports.found import KINDS, STAGES
from cymba.imports.lifecycle import PIECE_BYTES
from cymba.imports.mapping import Mapping
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account, require_token
from service.http.charges import charge
from service.http.fields import Instant, Schema
from service.http.json_bodies import whole_body
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.paging import PageQuerySchema, next_cursor_field, opened_cursor, seal_cursor
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.imports import (
    ImportBeginSchema,
    ImportMappingSchema,
    ImportSchema,
    ImportsSchema,
    import_shown,
)

blp = Resource("imports", "Pulse, HRV, sleep and a diary from other apps")

_PIECE = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}, "example": "PK…"}
}


class ReadingsQuerySchema(PageQuerySchema):
    started_from = Instant(data_key="from", metadata={"description": "Begun at or after this"})
    started_to = Instant(data_key="to", metadata={"description": "Begun before this"})


class ImportedReadingSchema(Schema):
    """A reading of another app. Insights do not use it."""

    started_at = out.instant("2026-02-27T22:10:00.000000Z")
    ended_at = out.instant("2026-02-28T05:00:00.000000Z")
    value = out.number(None, "In the kind's unit; null of sleep", null=True)
    stage = out.text("light", "Of sleep", null=True, one_of=STAGES)
    source = out.text("Ana’s Watch", "What recorded it, by its app's word")
    import_id = out.uuid("5d0f6a51-2f3c-4c07-9d4e-1a2b3c4d5e6f")


class ReadingsSchema(Schema):
    kind = out.text("sleep")
    title = out.text("Sleep", source=out.GIVEN)
    unit = out.text(None, "UCUM", null=True)
    items = out.many(ImportedReadingSchema)
    next_cursor = next_cursor_field()


@blp.post("/v1/imports")
@blp.repeatable
@blp.body(ImportBeginSchema)
@blp.answers(201, ImportSchema)
@blp.etag
@blp.problems("import-open", "import-too-large")
def begin_import(given: dict[str, Any]) -> Response:
    """Begin to bring a file from another app

    Apple Health's `export.zip`, Health Connect's export, a diary of Daylio, Bearable or Migraine
    Buddy, or any table as CSV. Then send its pieces. One import at a time.
    """
    with transaction() as session:
        account = current_account(session)
        row = lifecycle.begin(
            session,
            account.id,
            name=given["name"],
            bytes_=given["bytes"],
            max_bytes=services().settings.import_bytes,
            time_zone=given["time_zone"] or account.time_zone,
            now=services().now(),
        )
        body = import_shown(row)
    return tagged(body, status=201)


def require_bringer() -> None:
    """A piece has a quota of its own."""
    g.charged_apart = True
    require_token()


@blp.put("/v1/imports/<uuid:import_id>/pieces/<int:piece>")
@blp.guard(require_bringer, "bearer")
@blp.raw_body(_PIECE, max_bytes=PIECE_BYTES)
@blp.answers(200, ImportSchema)
@blp.etag
@blp.problems("piece-length")
def send_piece(import_id: UUID, piece: int) -> Response:
    """Send a piece of the file

    In any order, and again after a lost answer. With the last one the file is read: ask for the
    import until it is `read` or `failed`.
    """
    data = whole_body(request)
    with transaction() as session:
        account = current_account(session)
        now = services().now()
        row = lifecycle.add_piece(session, account.id, import_id, piece, data, now=now)
        charge(quotas.imported(account.id, len(data)))
        body = import_shown(row)
    return tagged(body)


@blp.get("/v1/imports")
@blp.answers(200, ImportsSchema)
@blp.etag
def list_imports() -> Response:
    """List what was brought, the latest first"""
    with transaction() as session:
        account = current_account(session)
        items = [import_shown(row) for row in lifecycle.listed(session, account.id)]
    return tagged({"items": items})


@blp.get("/v1/imports/<uuid:import_id>")
@blp.answers(200, ImportSchema)
@blp.etag
def get_import(import_id: UUID) -> Response:
    """Read one import: its state, and what was understood of its file"""
    with transaction() as session:
        account = current_account(session)
        body = import_shown(lifecycle.get(session, account.id, import_id))
    return tagged(body)


@blp.post("/v1/imports/<uuid:import_id>/mapping")
@blp.body(ImportMappingSchema)
@blp.answers(200, ImportSchema)
@blp.etag
@blp.problems("import-step")
def change_import_mapping(given: dict[str, Any], import_id: UUID) -> Response:
    """Say what the columns of a table mean

    The file is read anew, and the preview is that of this mapping. No column can become a side
    effect: those are only ever told in the diary.
    """
    wanted = msgspec.convert(given, Mapping)
    with transaction() as session:
        account = current_account(session)
        now = services().now()
        row = lifecycle.change_mapping(session, account.id, import_id, wanted, now=now)
        body = import_shown(row)
    return tagged(body)


@blp.post("/v1/imports/<uuid:import_id>/confirm")
@blp.answers(200, ImportSchema)
@blp.etag
@blp.problems("import-step", "import-has-questions")
def confirm_import(import_id: UUID) -> Response:
    """Store what the preview shows

    It is `stored` soon after. To confirm twice is harmless.
    """
    with transaction() as session:
        account = current_account(session)
        row = lifecycle.confirm(session, account.id, import_id, now=services().now())
        body = import_shown(row)
    return tagged(body)


@blp.post("/v1/imports/<uuid:import_id>/undo")
@blp.answers(200, ImportSchema)
@blp.etag
@blp.problems("import-open")
def undo_import(import_id: UUID) -> Response:
    """Take away what an import brought

    All of it, at any step and at any time later; what it left out as a duplicate stays with the
    import that brought it. A diary entry that the person has changed since stays, and `kept` counts
    it. To undo twice is harmless.
    """
    with transaction() as session:
        account = current_account(session)
        row = lifecycle.undo(session, account.id, import_id, now=services().now())
        body = import_shown(row)
    return tagged(body)


@blp.get("/v1/readings/<string:kind>")
@blp.query(ReadingsQuerySchema)
@blp.answers(200, ReadingsSchema)
@blp.etag
def list_readings(query: dict[str, Any], kind: str) -> Response:
    """List readings of one kind from other apps, the latest first

    `heart_rate`, `resting_heart_rate`, `hrv_sdnn`, `hrv_rmssd` or `sleep`. HRV by SDNN and by RMSSD
    are two kinds; neither can be told from the other. Insights use none of these readings.
    """
    filters = {name: value for name, value in query.items() if name not in {"cursor", "limit"}}
    with transaction() as session:
        account = current_account(session)
        scope = f"readings {kind} {account.id} {sorted(filters.items())}"
        found = lifecycle.readings(
            session,
            account.id,
            kind,
            **filters,
            after=opened_cursor(scope, query, tuple[datetime, bytes]),
            limit=query["limit"],
        )
        items = [_reading_shown(row) for row in found.readings]
    about = KINDS[kind]
    return tagged(
        {
            "kind": kind,
            "title": spoken().translate(about.title),
            "unit": about.unit,
            "items": items,
            "next_cursor": found.next_after and seal_cursor(scope, found.next_after),
        }
    )


_reading_shown = writer(ImportedReadingSchema)
