"""Sync: what changed since the app last asked, and what the app did while it was offline."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response, request

from cymba.accounts.changes import Kind
from cymba.diary import entries as entry_kind
from cymba.diary import reminders as reminder_kind
from cymba.diary.tables import DiaryEntry, Reminder
from cymba.errors import Rejected
from cymba.stimulation.session.shown import load_shown
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written import remarks as remark_kind
from cymba.stimulation.written import sessions as session_kind
from cymba.stimulation.written.tables import Remark, WrittenSession
from cymba.sync.feed import KINDS, Passed, Position, has_news, load_others
from cymba.sync.push import MAX_OPERATIONS, Answer, Operation, push
from cymba.voice import Voice, said
from service.http import out
from service.http.answers import answer
from service.http.bearer import current_access, current_account, ended, signed_in
from service.http.examples import described, example_of
from service.http.fields import Schema, Text, Whole, validation_failed
from service.http.json_bodies import InvalidJson, body_of, read_json, split_items
from service.http.language import spoken
from service.http.openapi import ProblemSchema, Resource
from service.http.paging import cursor_field, opened_cursor, seal_cursor
from service.http.problems import as_body
from service.http.reading import reading
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes import diary, remarks, reminders
from service.shapes.feed import (
    FEED_PAGES,
    MAX_BODY_BYTES,
    MAX_OPERATION_BYTES,
    SyncPageSchema,
    nothing_new,
    others_shown,
    page_shown,
)
from service.shapes.sessions import SessionSchema, WantedSessionSchema, session_shown

blp = Resource("sync", "Keeping a copy on a phone")

MAX_BUILDS_ON = 200
DEFAULT_LIMIT, MAX_LIMIT = 200, 1000


class Kinds(Text):
    """Names with commas between; the view gets them in the feed's order."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        names = set(super()._deserialize(value, attr, data, **kwargs).split(","))
        if unknown := sorted(names - set(KINDS)):
            raise ma.ValidationError(said("There is no kind {kind}.", kind=repr(unknown[0][:64])))
        return tuple(kind for kind in KINDS if kind in names)


class FeedQuerySchema(Schema):
    cursor = cursor_field()
    kinds = Kinds(
        about=f"Only these, with commas between: {', '.join(KINDS)}. A cursor keeps them: with "
        "others it is refused",
        example="session,diary-entry",
    )
    limit = Whole(
        in_query=True,
        load_default=DEFAULT_LIMIT,
        validate=ma.validate.Range(min=1, max=MAX_LIMIT),
        metadata={"description": "Changes in one answer"},
    )


class _Cursor(msgspec.Struct, array_like=True):
    """A `Position`, with no kinds in place of all: those that come later are told too. One from
    before there were kinds has null."""

    epoch: UUID
    number: int
    gone_before: int = 0
    kinds: tuple[Kind, ...] | None = None
    passed: Passed | None = None

    @classmethod
    def of(cls, position: Position) -> "_Cursor":
        kinds = () if position.kinds == KINDS else position.kinds
        return cls(position.epoch, position.number, position.gone_before, kinds, position.passed)

    @property
    def position(self) -> Position:
        kinds = KINDS if self.kinds == () else self.kinds
        return Position(self.epoch, self.number, self.gone_before, kinds, self.passed)


# Of a part of what PUT takes whole.
_FIELDS: dict[str, ma.Schema] = {
    entry_kind.KIND: diary.DiaryEntryChangeSchema(partial=True),
    session_kind.KIND: WantedSessionSchema(partial=True),
    remark_kind.KIND: remarks.WantedRemarkSchema(partial=True),
    reminder_kind.KIND: reminders.ReminderChangeSchema(partial=True),
}
"""What the app may change, by kind."""


class SyncOperationSchema(Schema):
    id = ma.fields.UUID(
        required=True,
        metadata=described(
            "Made by the app; a retry carries the same", "2f1e0d9c-8b7a-4654-b3c2-1d0e9f8a7b6c"
        ),
    )
    kind = Text(
        required=True,
        validate=ma.validate.OneOf(list(_FIELDS)),
        about="`session`: one that a phone or the person wrote down, or the `note` and `excluded` "
        "of one that a device recorded",
        example=entry_kind.KIND,
    )
    action = Text(required=True, validate=ma.validate.OneOf(["put", "delete"]), example="put")
    entity_id = ma.fields.UUID(
        required=True, metadata=described("", "0d5c8f0e-6a7b-4c3d-9e2f-1a2b3c4d5e6f")
    )
    base_version = Whole(
        required=True,
        validate=ma.validate.Range(min=0, max=2**31 - 1),
        about="Of the copy that the app held when the edit was made; it never changes. 0 if it "
        "held none",
        example=1,
    )
    builds_on = ma.fields.List(
        ma.fields.UUID(),
        load_default=None,
        validate=ma.validate.Length(max=MAX_BUILDS_ON),
        metadata=described(
            "Always to be sent, if only empty. The app's own operations on this entry that were in "
            "its queue when the edit was made. For each field that it changes the last is enough; "
            "a deletion changes every field",
            [],
        ),
    )
    # Checked for each operation by itself: an invalid one does not affect the others.
    changes = ma.fields.Dict(
        data_key="fields",
        load_default=dict,
        metadata=described(
            "What the app changed: any of `felt_at`, `time_zone`, `session_id`, `note` and `items` "
            "of a diary entry, or of the fields that PUT takes of a session, a remark or a "
            "reminder. null takes a value away",
            {"note": "Better after a nap", "items": {"pain_now": 4, "cough": None}},
        ),
    )


class SyncOperationsSchema(Schema):
    operations = ma.fields.List(
        ma.fields.Nested(SyncOperationSchema),
        required=True,
        validate=ma.validate.Length(max=MAX_OPERATIONS),
        metadata={
            "description": f"At most {MAX_OPERATIONS}, of at most {MAX_OPERATION_BYTES:,} bytes "
            f"each, in a body of at most {MAX_BODY_BYTES:,} bytes"
        },
    )


class PushSchema(Schema):
    """The body before its operations are read: an invalid one does not affect the others."""

    operations = ma.fields.List(
        ma.fields.Raw(), required=True, validate=ma.validate.Length(max=MAX_OPERATIONS)
    )


class SyncAnswerSchema(Schema):
    id = out.uuid(
        "2f1e0d9c-8b7a-4654-b3c2-1d0e9f8a7b6c",
        "null where the operation could not be read that far",
        null=True,
    )
    status = out.text("applied", one_of=["applied", "duplicate", "conflict", "rejected"])
    version = out.whole(
        2,
        "The app has now seen every change up to this version. It is the base of later edits for "
        "an app that sends no `builds_on`",
        null=True,
    )
    entry = out.nested(
        diary.DiaryEntrySchema,
        "The server's copy as it now stands; null if deleted or unknown",
        null=True,
        source=out.GIVEN,
        example=example_of(diary.DiaryEntrySchema, version=2),
    )
    session = out.nested(
        SessionSchema, "The same of a session", null=True, source=out.GIVEN, example=None
    )
    remark = out.nested(
        remarks.RemarkSchema, "The same of a remark", null=True, source=out.GIVEN, example=None
    )
    reminder = out.nested(
        reminders.ReminderSchema,
        "The same of a reminder",
        null=True,
        source=out.GIVEN,
        example=None,
    )
    deleted = out.flag(False, source=out.GIVEN)
    conflicting = out.many(
        out.text("note"),
        "Fields that others changed too; nothing was applied",
        source="fields",
        example=[],
    )
    problem = out.nested(ProblemSchema, null=True, source=out.GIVEN, example=None)


class SyncAnswersSchema(Schema):
    answers = out.many(SyncAnswerSchema)


_SESSIONS = (WrittenSession, StimulationSession)
_answer_shown = writer(SyncAnswerSchema)


@blp.get("/v1/sync")
@blp.query(FeedQuerySchema)
@blp.answers(200, SyncPageSchema)
@blp.problems("cursor-expired", "restored", "other-kinds")
def read_changes(query: dict[str, Any]) -> Response:
    """Read what changed since the cursor

    Without a cursor everything is read; what no page brings has been deleted. A change that commits
    late is never skipped. A device's presence is shown as of now, and is no change in the feed.
    """
    scope = f"sync|{current_access().account_id}"
    cursor = opened_cursor(scope, query, _Cursor)
    after = None if cursor is None else cursor.position
    kinds = query.get("kinds", KINDS)
    with reading() as read:
        if after is not None:
            news = has_news(read.line, read.account_id, read.family_id, after)
            if news is None:
                raise ended()
            if "kinds" in query and kinds != (after.kinds or KINDS):
                raise Rejected(
                    "The cursor was made for other kinds. Read everything again, without a cursor.",
                    code="other-kinds",
                )
            if not news:
                return answer(nothing_new(query["cursor"]))
        feed = FEED_PAGES.read(
            read.line, read.account_id, read.family_id, after, kinds=kinds, limit=query["limit"]
        )
    if feed is None:
        raise ended()
    account = signed_in(feed.caller)
    body = page_shown(feed)
    if feed.has_others:
        with transaction() as session:
            body |= others_shown(session, account, load_others(session, feed))
    body["next_cursor"] = seal_cursor(scope, _Cursor.of(feed.position))
    return answer(body)


@blp.post("/v1/sync")
@blp.raw_body(
    {
        "application/json": {
            "schema": SyncOperationsSchema,
            "example": example_of(SyncOperationsSchema),
        }
    },
    max_bytes=MAX_BODY_BYTES,
)
@blp.answers(200, SyncAnswersSchema)
def push_operations() -> Response:
    """Push what the app did offline

    Operations are applied in order, each by itself, and each is answered in its place. One that
    was applied before is a `duplicate`, so a retry after a lost answer is harmless, in smaller
    pieces too. One that is malformed or too large is rejected, and no other with it.
    """
    read = [_read(text) for text in _operations(body_of(request))]
    with transaction() as session:
        account = current_account(session)
        voice = spoken()
        good = [operation for operation in read if isinstance(operation, Operation)]
        answered = iter(
            push(session, account.id, good, now=services().now(), key=services().programme_key)
        )
        answers = [
            next(answered) if isinstance(operation, Operation) else operation for operation in read
        ]
        rows = [one.row for one in answers if isinstance(one.row, _SESSIONS)]
        there = load_shown(session, account.id, [row.id for row in rows])
        sessions = {shown["id"]: session_shown(shown) for shown in there}
        shown = [_shown(one, sessions, voice) for one in answers]
    return answer({"answers": shown})


def _operations(body: bytes) -> list[bytes]:
    """The text of each operation."""
    around, texts = split_items(body)
    try:
        PushSchema().load(around)
    except ma.ValidationError as error:
        raise validation_failed({"json": error.messages}) from None
    return texts


def _read(text: bytes) -> Operation | Answer:
    """The operation, or its rejection where not even its id, entity and action can be read."""
    if len(text) > MAX_OPERATION_BYTES:
        detail = said(
            "An operation has at most {most} bytes, this one {length}.",
            most=MAX_OPERATION_BYTES,
            length=len(text),
        )
        return Answer(None, "rejected", problem=Rejected(detail, code="too-large"))
    try:
        raw = read_json(text)
    except InvalidJson as error:
        return Answer(None, "rejected", problem=error)
    try:
        loaded = SyncOperationSchema().load(raw)
    except ma.ValidationError as error:
        problem = validation_failed({"json": error.messages})
        return Answer(_readable_id(raw), "rejected", problem=problem)
    changes = loaded.pop("changes")
    try:
        return Operation(**loaded, fields=_fields(loaded["kind"], loaded["action"], changes))
    except Rejected as unfit:
        items = changes.get("items") or {}
        names = [
            *changes,
            *(f"items.{name}" for name in (items if isinstance(items, dict) else ())),
        ]
        return Operation(**loaded, fields=dict.fromkeys(names), problem=unfit)


def _fields(kind: str, action: str, changes: dict[str, Any]) -> dict[str, Any]:
    if action == "delete" and changes:
        raise validation_failed({"json": {"fields": [said("A deletion takes none.")]}})
    try:
        fields: dict[str, Any] = _FIELDS[kind].load(changes)
    except ma.ValidationError as error:
        raise validation_failed({"json": {"fields": error.messages}}) from None
    if kind == entry_kind.KIND:
        items = fields.pop("items", {})
        fields |= {f"items.{name}": value for name, value in items.items()}
    return fields


def _readable_id(raw: Any) -> UUID | None:
    try:
        return UUID(raw["id"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _shown(
    answered: Answer, sessions: Mapping[UUID, dict[str, Any]], voice: Voice
) -> dict[str, Any]:
    row = answered.row
    is_deleted = row is not None and row.deleted_at is not None
    entry = shown_session = remark = reminder = None
    match row:
        case DiaryEntry(deleted_at=None):
            entry = diary.entry_shown(row, voice)
        case WrittenSession(deleted_at=None) | StimulationSession(deleted_at=None):
            shown_session = sessions[row.id]
        case Remark(deleted_at=None):
            remark = remarks.remark_shown(row)
        case Reminder(deleted_at=None):
            reminder = reminders.reminder_shown(row)
    return _answer_shown(
        answered,
        entry=entry,
        session=shown_session,
        remark=remark,
        reminder=reminder,
        deleted=is_deleted,
        problem=as_body(answered.problem) if answered.problem is not None else None,
    )
