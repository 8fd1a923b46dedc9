"""The symptom diary: what can be written in it, and what the person wrote."""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from cymba.diary.entries import DiaryEntries, page
from cymba.diary.items import CONDITIONS, ITEMS, Item
from cymba.diary.values import Answers
from cymba.voice import Voice
from service.http import out
from service.http.answers import nothing, tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.fields import Instant, Schema, Text
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.paging import (
    PageQuerySchema,
    next_cursor_field,
    opened_cursor,
    seal_cursor,
)
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.diary import (
    DiaryEntryChangeSchema,
    DiaryEntrySchema,
    entry_shown,
)

blp = Resource("diary", "The symptom diary")


class DiaryOptionSchema(Schema):
    name = out.text("mild", "As in a value; of a number, its digits")
    title = out.text("Mild")


class DiaryItemSchema(Schema):
    """One thing that the diary asks, with the reasons for which it may be shipped."""

    name = out.text("pain_now")
    title = out.text("Pain now", source=out.GIVEN)
    group = out.text("symptom")
    value = out.table(
        {"type": "integer", "minimum": 0, "maximum": 10},
        "JSON Schema of the item's value",
        source=out.GIVEN,
    )
    questions = out.many(
        out.text("…"),
        "Of a questionnaire, in the order of its answers",
        source=out.GIVEN,
        example=[],
    )
    options = out.many(
        DiaryOptionSchema,
        "What can be chosen, with its title: parts of `value`. Empty: nothing has a title",
        source=out.GIVEN,
        example=[],
    )
    unit = out.text("{score}", "UCUM", null=True)
    code = out.text("LOINC 72514-3", "LOINC or SNOMED CT", null=True)
    worse = out.text("higher", null=True, one_of=["higher", "lower"])
    minimal_important_difference = out.number(1.0, null=True)
    scoring = out.text(None, "In English, as licence and source", null=True)
    licence = out.text("free")
    source = out.text(
        "NRS 0–10; 10–20 % is the smallest change that matters, 30 % or 2 points a moderate one "
        "(Farrar 2001; IMMPACT: Dworkin 2008)"
    )
    red_flag = out.flag(False, "Locks the device's programme and asks to seek care")
    note = out.text("", "To be shown with it", source=out.GIVEN)


class DiaryConditionSchema(Schema):
    name = out.text("fibromyalgia")
    title = out.text("Fibromyalgia", source=out.GIVEN)
    snomed_ct = out.text("203082005", null=True)
    icd_10 = out.many(out.text("M79.7"))


class DiaryItemsSchema(Schema):
    items = out.many(DiaryItemSchema)
    conditions = out.many(DiaryConditionSchema)


class EntriesQuerySchema(PageQuerySchema):
    felt_from = Instant(data_key="from", metadata={"description": "Felt at or after this"})
    felt_to = Instant(data_key="to", metadata={"description": "Felt before this"})
    item = Text(
        validate=ma.validate.OneOf(ITEMS), metadata={"description": "Entries that answer this item"}
    )


class DiaryPageSchema(Schema):
    items = out.many(DiaryEntrySchema)
    next_cursor = next_cursor_field()


@blp.get("/v1/diary/items")
@blp.answers(200, DiaryItemsSchema)
@blp.etag
@blp.shared("diary")
def list_diary_items() -> Response:
    """What the diary asks: scales, bounds, codes and licences"""
    with transaction() as session:
        current_account(session)
    return tagged(catalogue(spoken()))


@blp.get("/v1/diary")
@blp.query(EntriesQuerySchema)
@blp.answers(200, DiaryPageSchema)
@blp.etag
@blp.shared("diary")
def list_entries(query: dict[str, Any]) -> Response:
    """List diary entries, newest first"""
    filters = {name: value for name, value in query.items() if name not in {"cursor", "limit"}}
    with transaction() as session:
        account = current_account(session)
        scope = f"diary {account.id} {sorted(filters.items())}"
        found = page(
            session,
            account.id,
            **filters,
            after=opened_cursor(scope, query, tuple[datetime, UUID]),
            limit=query["limit"],
        )
        voice = spoken()
        items = [entry_shown(entry, voice) for entry in found.entries]
    next_cursor = found.next_after and seal_cursor(scope, found.next_after)
    return tagged({"items": items, "next_cursor": next_cursor})


@blp.put("/v1/diary/<uuid:entry_id>")
@blp.body(DiaryEntryChangeSchema)
@blp.answers(200, DiaryEntrySchema, description="Changed, or as it was already")
@blp.answers(201, DiaryEntrySchema, description="Written")
@blp.etag
@blp.header("If-Match", "The ETag of the copy that was changed; none for a new entry.")
@blp.problems("gone", "stale", "if-match-required")
def write_entry(given: dict[str, Any], entry_id: UUID) -> Response:
    """Write an entry under an id that the app makes

    The same content again changes nothing, so a retry is harmless. Changing an entry needs the
    ETag of the copy that was changed.
    """
    values = given.pop("items")
    fields = given | {f"items.{name}": value for name, value in values.items()}
    with transaction() as session:
        account = current_account(session)
        voice = spoken()
        written = _entries().put(
            session, account.id, entry_id, fields, match=check_preconditions, now=services().now()
        )
        body, version = entry_shown(written.row, voice), written.row.version
    return tagged(body, status=201 if written.is_new else 200, version=version)


@blp.get("/v1/diary/<uuid:entry_id>")
@blp.answers(200, DiaryEntrySchema)
@blp.etag
@blp.shared("diary")
def get_entry(entry_id: UUID) -> Response:
    """Read one entry"""
    with transaction() as session:
        account = current_account(session)
        entry = _entries().get(session, account.id, entry_id)
        body = entry_shown(entry, spoken())
    return tagged(body, version=entry.version)


@blp.delete("/v1/diary/<uuid:entry_id>")
@blp.answers(204, description="Deleted, now or before")
@blp.if_match
def delete_entry(entry_id: UUID) -> Response:
    """Delete an entry

    Its words are erased. Apps get a tombstone with their next sync.
    """
    with transaction() as session:
        account = current_account(session)
        _entries().delete(
            session, account.id, entry_id, match=check_preconditions, now=services().now()
        )
    return nothing()


def _entries() -> DiaryEntries:
    return DiaryEntries(services().programme_key)


_item_shown = writer(DiaryItemSchema)
_condition_shown = writer(DiaryConditionSchema)


def catalogue(voice: Voice) -> dict[str, Any]:
    conditions = [
        _condition_shown(condition, title=voice.translate(condition.title))
        for condition in CONDITIONS.values()
    ]
    return {"items": [_in_words(item, voice) for item in ITEMS.values()], "conditions": conditions}


def _in_words(item: Item, voice: Voice) -> dict[str, Any]:
    questions = item.value.questions if isinstance(item.value, Answers) else ()
    options = item.value.options.items()
    return _item_shown(
        item,
        title=voice.translate(item.title),
        note=voice.translate(item.note),
        value=item.value.json_schema(),
        questions=[voice.translate(question) for question in questions],
        options=[{"name": name, "title": voice.translate(title)} for name, title in options],
    )
