"""An import as the API shows it, and the mapping of a table as it is said."""

from typing import Any

import marshmallow as ma

from cymba.imports.found import FAILURES, REASONS
from cymba.imports.lifecycle import PIECE_BYTES, pieces_of
from cymba.imports.mapping import MAX_ITEMS, MAX_NAME, MAX_WORDS, TARGETS
from cymba.imports.tables import STATES, DataImport
from service.http import out
from service.http.fields import Number, Schema, Text, Whole
from service.http.language import spoken
from service.http.writing import writer

_NAME = ma.validate.Length(1, MAX_NAME)


class ImportBeginSchema(Schema):
    bytes = Whole(
        required=True, validate=ma.validate.Range(1), about="Of the file", example=48_213_004
    )
    name = Text(
        load_default=None,
        allow_none=True,
        validate=ma.validate.Length(max=200),
        about="Of the file, to know it again",
        example="export.zip",
    )
    time_zone = Text(
        load_default=None,
        allow_none=True,
        about="IANA: where days and hours without a zone were; the account's if it is left out",
        example="Europe/Berlin",
    )


class ScaleSchema(Schema):
    low = Number(required=True, about="What becomes 0", example=1.0)
    high = Number(required=True, about="What becomes 10", example=5.0)


class RowConditionSchema(Schema):
    column = Text(required=True, validate=_NAME, example="category")
    value = Text(required=True, validate=_NAME, example="Mood")


class ItemColumnSchema(Schema):
    column = Text(required=True, validate=_NAME, example="rating/amount")
    item = Text(
        required=True,
        validate=ma.validate.OneOf(TARGETS),
        about="Of the diary",
        example="mood",
    )
    scale = ma.fields.Nested(
        ScaleSchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "What the file's numbers run from and to; they become 0 to 10"},
    )
    words = ma.fields.Dict(
        keys=Text(validate=_NAME),
        values=Number(),
        load_default=dict,
        validate=ma.validate.Length(max=MAX_WORDS),
        metadata={"description": "The item's value for each word", "example": {"rad": 10}},
    )
    where = ma.fields.List(
        ma.fields.Nested(RowConditionSchema),
        load_default=list,
        validate=ma.validate.Length(max=5),
        metadata={"description": "Only rows in which these columns have these values"},
    )


class ImportMappingSchema(Schema):
    """How the columns of a table become diary entries."""

    time_zone = Text(
        required=True,
        validate=_NAME,
        about="IANA, of days and of hours",
        example="Europe/Berlin",
    )
    date = Text(
        required=True,
        allow_none=True,
        validate=_NAME,
        about="The column of the day, which may hold the time as well",
        example="date",
    )
    time = Text(
        load_default=None,
        allow_none=True,
        validate=_NAME,
        about="The column of the time of day",
        example="time of day",
    )
    utc_offset_min = Text(
        load_default=None,
        allow_none=True,
        validate=_NAME,
        about="The column of the offset from UTC, in minutes",
        example=None,
    )
    day_order = Text(
        load_default=None,
        allow_none=True,
        validate=ma.validate.OneOf(["dmy", "mdy"]),
        about="Of days such as 3/4/2026",
        example="dmy",
    )
    default_time = Text(
        load_default="12:00",
        validate=ma.validate.Length(max=16),
        about="The time of rows that have none",
        example="12:00",
    )
    items = ma.fields.List(
        ma.fields.Nested(ItemColumnSchema),
        load_default=list,
        validate=ma.validate.Length(max=MAX_ITEMS),
        metadata={"description": "Columns that become items of the diary"},
    )
    notes = ma.fields.List(
        Text(validate=_NAME),
        load_default=list,
        validate=ma.validate.Length(max=20),
        metadata={"description": "Columns that become the note", "example": ["notes"]},
    )


class FoundKindSchema(Schema):
    kind = out.text("heart_rate", "Of readings, or `diary_entry`")
    count = out.whole(48_211, "Understood, those included that are here already")
    duplicates = out.whole(312, "Here already, or twice in the file: these change nothing")
    first_day = out.day("2024-01-05", "Where the file's days are")
    last_day = out.day("2026-02-28")


class LeftOutSchema(Schema):
    reason = out.text("other-kind")
    text = out.text("It is of a kind that Cymba does not keep.", "The reason, for people")
    count = out.whole(912_004)


class LeftOutRowSchema(Schema):
    reason = out.text("no-time")
    line = out.whole(17, "Of the file, from 1; of a database null", null=True)


class QuestionSchema(Schema):
    """What a mapping has to say before this can be confirmed."""

    code = out.text(
        "scale",
        "`scale`: from where to where a column's numbers run. `day-order`: whether 3/4 is in April "
        "or in March. `date`: which column is the day. `items`: nothing is taken yet",
    )
    column = out.text("rating/amount", null=True)


class TableColumnSchema(Schema):
    name = out.text("rating/amount")
    filled = out.whole(1_204, "Rows that have something there")
    values = out.many(out.text("4"), "Some of what is there")


class TableFormSchema(Schema):
    encoding = out.text("utf-8", "As it was guessed")
    delimiter = out.text(",")
    header_line = out.whole(1, "Where the names of the columns stand")
    rows = out.whole(1_204)


class ImportPreviewSchema(Schema):
    """What was understood of the file. Nothing of it is stored yet."""

    kinds = out.many(FoundKindSchema)
    left_out = out.many(LeftOutSchema)
    left_out_rows = out.many(LeftOutRowSchema, "The first rows that were not understood")
    without_time = out.whole(0, "Diary entries whose time of day is the mapping's")
    said_twice = out.whole(0, "Diary entries in an hour that came twice: the first was taken")
    questions = out.many(QuestionSchema, example=[])
    columns = out.many(TableColumnSchema, "Of a table", example=[])
    table = out.nested(TableFormSchema, null=True)


class ImportSchema(Schema):
    id = out.uuid("5d0f6a51-2f3c-4c07-9d4e-1a2b3c4d5e6f")
    name = out.text("export.zip", null=True)
    state = out.text("read", one_of=STATES)
    format = out.text(
        "apple_health",
        "`apple_health`, `health_connect`, `daylio`, `bearable`, `migraine_buddy`, `csv`",
        null=True,
    )
    time_zone = out.text("Europe/Berlin")
    bytes = out.whole(48_213_004)
    piece_bytes = out.whole(PIECE_BYTES, "Of each piece but the last", source=out.GIVEN)
    pieces = out.whole(46, source=out.GIVEN)
    failure = out.text(None, "Why nothing of the file can be taken, by its code", null=True)
    failure_text = out.text(None, "The same, for people", null=True, source=out.GIVEN)
    preview = out.nested(ImportPreviewSchema, null=True, source=out.GIVEN)
    mapping = out.nested(ImportMappingSchema, "Of a table", null=True, example=None)
    kept = out.whole(
        None,
        "Of one that was undone: diary entries that the person had changed since, which stay",
        null=True,
    )
    created_at = out.instant("2026-03-01T09:31:00.000000Z")
    changed_at = out.instant("2026-03-01T09:32:10.000000Z")


class ImportsSchema(Schema):
    items = out.many(ImportSchema)


_import_shown = writer(ImportSchema)


def import_shown(row: DataImport) -> dict[str, Any]:
    voice, preview = spoken(), row.preview
    if preview is not None:
        left_out = [
            one | {"text": voice.translate(REASONS[one["reason"]])} for one in preview["left_out"]
        ]
        preview = preview | {"left_out": left_out}
    return _import_shown(
        row,
        piece_bytes=PIECE_BYTES,
        pieces=pieces_of(row.bytes),
        failure_text=row.failure and voice.translate(FAILURES[row.failure]),
        preview=preview,
    )
