"""A diary entry as the API shows it, and the values of its items."""

from typing import Any

import marshmallow as ma

from cymba.devices.screening import SEEK_CARE
from cymba.diary.fields import flat, red_flags, to_confirm
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.insights.words import Voice
from service.http.fields import Schema

WRITTEN_EXAMPLE = {
    "felt_at": "2026-03-01T06:30:00Z",
    "time_zone": "Europe/Berlin",
    "session_id": None,
    "note": "Slept badly",
    "items": {"pain_now": 6, "phq4": [1, 0, None, 2], "cough": {"severity": "mild"}},
}


ENTRY_EXAMPLE: dict[str, Any] = WRITTEN_EXAMPLE | {
    "id": "0d5c8f0e-6a7b-4c3d-9e2f-1a2b3c4d5e6f",
    "felt_at": "2026-03-01T06:30:00Z",
    "written_at": "2026-03-01T06:31:12Z",
    "scores": {"phq4": {"total": None, "gad2": 1, "phq2": None}},
    "red_flags": [],
    "advice": None,
    "to_confirm": [],
    "version": 1,
    "changed_at": "2026-03-01T06:31:12Z",
}


class EntryValues(ma.fields.Dict):
    """Values by item name; the registry checks them, and describes them in the document."""

    def __init__(self, **kwargs: Any) -> None:
        properties = {name: item.value.json_schema() for name, item in ITEMS.items()}
        super().__init__(
            metadata={"properties": properties, "additionalProperties": False}, **kwargs
        )


class EntrySchema(Schema):
    id = ma.fields.UUID(required=True)
    felt_at = ma.fields.DateTime(required=True)
    written_at = ma.fields.DateTime(required=True)
    time_zone = ma.fields.String(required=True)
    session_id = ma.fields.UUID(required=True, allow_none=True)
    note = ma.fields.String(required=True, allow_none=True)
    items = EntryValues(required=True)
    scores = ma.fields.Dict(
        required=True,
        metadata={
            "description": "Of questionnaires, each with its total and its parts by name; null "
            "where an answer is missing",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {"type": ["integer", "null"]},
            },
        },
    )
    red_flags = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Items that call for care at once; they lock the programme"},
    )
    advice = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "To be shown with a red flag"}
    )
    to_confirm = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={
            "description": "Fields to ask about once more. `felt_at`: more than a year before it "
            "was written. The entry is kept as it is"
        },
    )
    version = ma.fields.Integer(required=True)
    changed_at = ma.fields.DateTime(required=True)


def entry_shown(entry: DiaryEntry, voice: Voice) -> dict[str, Any]:
    """An entry as the API shows it (`EntrySchema`)."""
    flags = red_flags(flat(entry))
    return {
        "id": entry.id,
        "felt_at": entry.felt_at,
        "written_at": entry.written_at,
        "time_zone": entry.time_zone,
        "session_id": entry.session_id,
        "note": entry.note,
        "items": entry.items,
        "scores": {
            name: ITEMS[name].value.scores(value)
            for name, value in entry.items.items()
            if ITEMS[name].group == "questionnaire" and ITEMS[name].scoring
        },
        "red_flags": flags,
        "advice": voice.translate(SEEK_CARE) if flags else None,
        "to_confirm": to_confirm(entry),
        "version": entry.version,
        "changed_at": entry.changed_at,
    }
