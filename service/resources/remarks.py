"""What the person says of a device or a day: an electrode was changed, there was no session."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response

from cymba.stimulation.written.remarks import Remarks, page
from service.http import out
from service.http.answers import nothing, tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.paging import PageQuerySchema, next_cursor_field, opened_cursor, seal_cursor
from service.http.services import services
from service.http.transaction import transaction
from service.shapes.remarks import RemarkSchema, WantedRemarkSchema, remark_shown

blp = Resource("remarks", "What the person says of devices and days")


class RemarksSchema(Schema):
    items = out.many(RemarkSchema)
    next_cursor = next_cursor_field()


@blp.get("/v1/remarks")
@blp.query(PageQuerySchema)
@blp.answers(200, RemarksSchema)
@blp.etag
@blp.shared("sessions")
def list_remarks(query: dict[str, Any]) -> Response:
    """List remarks, the latest first"""
    with transaction() as session:
        account = current_account(session)
        scope = f"remarks {account.id}"
        after = opened_cursor(scope, query, tuple[datetime, UUID])
        found = page(session, account.id, after=after, limit=query["limit"])
        items = [remark_shown(remark) for remark in found.remarks]
    next_cursor = found.next_after and seal_cursor(scope, found.next_after)
    return tagged({"items": items, "next_cursor": next_cursor})


@blp.put("/v1/remarks/<uuid:remark_id>")
@blp.body(WantedRemarkSchema)
@blp.answers(200, RemarkSchema, description="Changed, or as it was already")
@blp.answers(201, RemarkSchema, description="Written")
@blp.etag
@blp.header("If-Match", "The ETag of the copy that was changed; none for a new remark.")
@blp.problems("gone", "stale", "if-match-required")
def write_remark(given: dict[str, Any], remark_id: UUID) -> Response:
    """Say something of a device or a day, under an id that the app makes

    The same content again changes nothing, so a retry is harmless. Changing a remark needs the
    ETag of the copy that was changed.
    """
    with transaction() as session:
        account = current_account(session)
        written = Remarks().put(
            session, account.id, remark_id, given, match=check_preconditions, now=services().now()
        )
        body, version = remark_shown(written.row), written.row.version
    return tagged(body, status=201 if written.is_new else 200, version=version)


@blp.get("/v1/remarks/<uuid:remark_id>")
@blp.answers(200, RemarkSchema)
@blp.etag
@blp.shared("sessions")
def get_remark(remark_id: UUID) -> Response:
    """Read one remark"""
    with transaction() as session:
        remark = Remarks().get(session, current_account(session).id, remark_id)
        body, version = remark_shown(remark), remark.version
    return tagged(body, version=version)


@blp.delete("/v1/remarks/<uuid:remark_id>")
@blp.answers(204, description="Deleted, now or before")
@blp.if_match
def delete_remark(remark_id: UUID) -> Response:
    """Take a remark back"""
    with transaction() as session:
        account = current_account(session)
        Remarks().delete(
            session, account.id, remark_id, match=check_preconditions, now=services().now()
        )
    return nothing()
