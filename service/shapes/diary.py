"""A diary entry as the API takes it and shows it, and the values of its items."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from cymba.devices.screening import SEEK_CARE
from cymba.diary.fields import SCORED, red_flags, to_confirm
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry, ReadEntry
from cymba.notes import MAX_NOTE
from cymba.voice import Voice
from service.http import out
from service.http.examples import described
from service.http.fields import Instant, Schema, Text
from service.http.put_back import takes_what_is_shown
from service.http.writing import writer


class EntryValues(ma.fields.Dict):
    """Values by item name; the registry checks them, and describes them in the document."""

    def __init__(self, **kwargs: Any) -> None:
        properties = {name: item.value.json_schema() for name, item in ITEMS.items()}
        example = {"pain_now": 6, "phq4": [1, 0, None, 2], "cough": {"severity": "mild"}}
        metadata = described("", example, properties=properties, additionalProperties=False)
        super().__init__(metadata=metadata, **kwargs)


class DiaryEntryChangeSchema(Schema):
    """An entry as the app writes it, whole: what it does not name is not there."""

    felt_at = Instant(
        required=True, about="When it was felt", example="2026-03-01T06:30:00.000000Z"
    )
    time_zone = Text(required=True, about="IANA, where it was felt", example="Europe/Berlin")
    session_id = ma.fields.UUID(
        load_default=None,
        allow_none=True,
        metadata=described("The session it is about, which may not have arrived yet", None),
    )
    note = Text(
        load_default=None,
        allow_none=True,
        validate=ma.validate.Length(max=MAX_NOTE),
        about="Free text. Nobody monitors it",
        example="Slept badly",
    )
    items = EntryValues(load_default=dict)


class DiaryEntrySchema(Schema):
    id = out.uuid("0d5c8f0e-6a7b-4c3d-9e2f-1a2b3c4d5e6f")
    felt_at = out.instant("2026-03-01T06:30:00.000000Z")
    written_at = out.instant("2026-03-01T06:31:12.000000Z")
    time_zone = out.text("Europe/Berlin")
    session_id = out.uuid(None, null=True)
    note = out.text("Slept badly", null=True)
    items = EntryValues(required=True)
    scores = out.table(
        {"phq4": {"total": None, "gad2": 1, "phq2": None}},
        "Of questionnaires, each with its total and its parts by name; null where an answer is "
        "missing",
        source=out.GIVEN,
        additionalProperties={
            "type": "object",
            "additionalProperties": {"type": ["integer", "null"]},
        },
    )
    red_flags = out.many(
        out.text("chest_pain"),
        "Items that call for care at once; they lock the programme",
        source=out.GIVEN,
        example=[],
    )
    advice = out.text(None, "To be shown with a red flag", null=True, source=out.GIVEN)
    to_confirm = out.many(
        out.text("felt_at"),
        "Fields to ask about once more. `felt_at`: more than a year before it was written. The "
        "entry is kept as it is",
        source=out.GIVEN,
        example=[],
    )
    import_id = out.uuid(
        None, "The import that brought it from another app; insights do not use it", null=True
    )
    version = out.whole(1)
    changed_at = out.instant("2026-03-01T06:31:12.000000Z")


_entry_shown = writer(DiaryEntrySchema)
takes_what_is_shown(DiaryEntryChangeSchema, DiaryEntrySchema)


def entry_shown(entry: DiaryEntry | ReadEntry, voice: Voice) -> dict[str, Any]:
    """An entry as the API shows it (`DiaryEntrySchema`)."""
    return _entry_shown(entry, **marks(entry.items, voice), to_confirm=to_confirm(entry))


def marks(items: Mapping[str, Any], voice: Voice) -> dict[str, Any]:
    """What an entry's items say by themselves (`MARKED`)."""
    flags = sorted(red_flags(items))
    scores = {
        name: ITEMS[name].value.scores(value) for name, value in items.items() if name in SCORED
    }
    advice = voice.translate(SEEK_CARE) if flags else None
    return {"scores": scores, "red_flags": flags, "advice": advice}
