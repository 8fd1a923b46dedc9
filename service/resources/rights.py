"""What a person may ask of what is held about them: all of it, and who looked at it."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import structlog
from flask import Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import migrations
from cymba.accounts import audit
from cymba.database import UnitOfWork
from cymba.failures import name_of
from cymba.rights.export import export
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.paging import (
    PageQuerySchema,
    next_cursor_field,
    page_by_number,
)
from service.http.problems import Unavailable
from service.http.services import Services, services
from service.http.transaction import transaction
from service.http.writing import writer

blp = Resource("rights", "Everything that is held about the person, and who saw it")

ZIP = "application/zip"
ACTORS = ("person", "share", "operator", "system")

# An archive leaves no faster than its client reads, from a transaction that is open all the while.
LEAVE_S = 1800  # the whole of it
READ_S = 60  # between two pieces

_log = structlog.get_logger(__name__)


class AuditEntrySchema(Schema):
    """That somebody saw or changed something of the person's."""

    at = out.instant("2026-03-01T18:00:00.120000Z", "When it was entered, by the database's clock")
    claimed_at = out.instant(
        None,
        "In an entry that came with an archive: when it was entered there, by the archive's word",
        null=True,
    )
    actor_kind = out.text("person", one_of=ACTORS)
    actor_id = out.text(
        "7d1f0a52-93a1-4c63-8f0e-5b7d1c2e3f40", "Of the account, the share or the operator"
    )
    action = out.text("account.exported")
    detail = out.table({}, "It holds no health data")


class AuditPageSchema(Schema):
    items = out.many(AuditEntrySchema)
    next_cursor = next_cursor_field()


_entry_shown = writer(AuditEntrySchema)


@blp.get("/v1/account/export")
@blp.answers(
    200,
    {"type": "string", "format": "binary"},
    content_type=ZIP,
    description="A ZIP archive, sent as it is made. It ends with its manifest and its directory: "
    "one that was cut off cannot be opened, and is to be asked for again.",
)
@blp.problems("too-many-exports")
def export_account() -> Response:
    """Download everything that is held about the person

    Sheets to read (CSV), telemetry (Parquet), and every table as Cymba stores it (JSON lines),
    with counts and SHA-256 sums in `manifest.json`, which also says what was left out. One archive
    at a time; each is in the audit log. Read it without a pause: a client that stops for a minute,
    or needs more than half an hour, is cut off.
    """
    with transaction() as session:
        account_id = current_account(session).id
    places = services().exports
    if not places.take(account_id):
        raise Unavailable("Another archive is being made. Wait for it.", code="too-many-exports")
    try:
        with transaction() as session:
            who = audit.Actor("person", str(account_id))
            audit.note(session, account_id, who, "account.exported")
    except BaseException:
        places.leave(account_id)
        raise
    pieces = _archive(services(), account_id)
    try:
        # A failure before the first piece becomes a problem, not an empty archive.
        first = next(pieces)
    except BaseException:
        places.leave(account_id)
        raise
    now = services().now()
    response = Response(chain([first], pieces), content_type=ZIP)
    name = f"cymba-{now:%Y-%m-%d}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.call_on_close(lambda: places.leave(account_id))
    return response


@blp.get("/v1/audit")
@blp.query(PageQuerySchema)
@blp.answers(200, AuditPageSchema)
@blp.etag
def list_audit(query: dict[str, Any]) -> Response:
    """Read who saw or changed what, the latest first

    Entries are added and never changed; they go with the account, or after the time that the
    operator has set.
    """
    with transaction() as session:
        account_id = current_account(session).id
        body = page_by_number(
            query,
            f"audit/{account_id}",
            read=partial(audit.page, session, account_id),
            number=lambda row: row.id,
            show=_entry_shown,
        )
    return tagged(body)


def _archive(at: Services, account_id: UUID) -> Iterator[bytes]:
    end_s = time.monotonic() + LEAVE_S

    def made(session: UnitOfWork) -> Iterator[bytes]:
        pieces = export(session, account_id, schema_version=migrations.head(), now=at.now())
        first = next(pieces)
        # The database enforces it: a thread that waits for its client cannot.
        session.execute(_READ_ON, {"ms": f"{READ_S * 1000}"})
        return chain([first], pieces)

    try:
        yield from _until(end_s, at.large_reads.stream(made))
    except (DBAPIError, TimeoutError) as error:
        # The status may be sent already; an archive without its directory cannot be opened.
        _log.warning("an archive is cut off", error=name_of(error))
        raise


def _until(end_s: float, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        if time.monotonic() > end_s:
            raise TimeoutError("an archive took too long to leave")


_READ_ON = text("SELECT set_config('idle_in_transaction_session_timeout', :ms, true)")
