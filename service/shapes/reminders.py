"""A reminder as the app writes it, and as the API shows it."""

from typing import Any

import marshmallow as ma

from cymba.diary.items import ITEMS
from cymba.diary.tables import Reminder
from service.http.fields import Flag, Pattern, Schema, Text, Whole

LOCAL_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


WANTED_EXAMPLE = {
    "title": "Morning",
    "local_times": ["08:00"],
    "weekdays": [1, 2, 3, 4, 5, 6, 7],
    "items": ["pain_now", "sleep_quality"],
    "enabled": True,
}


REMINDER_EXAMPLE = WANTED_EXAMPLE | {
    "id": "7d0a4a53-0b86-4c0e-8d1c-6a5b4c3d2e1f",
    "version": 1,
}


class WantedSchema(Schema):
    title = Text(required=True, validate=ma.validate.Length(min=1, max=100))
    local_times = ma.fields.List(
        Text(validate=Pattern(LOCAL_TIME)),
        required=True,
        validate=ma.validate.Length(min=1, max=24),
        metadata={"description": "By the wall clock of the account's time zone"},
    )
    weekdays = ma.fields.List(
        Whole(validate=ma.validate.Range(min=1, max=7)),
        required=True,
        validate=ma.validate.Length(min=1, max=7),
        metadata={"description": "1 is Monday"},
    )
    items = ma.fields.List(
        Text(validate=ma.validate.OneOf(ITEMS)),
        required=True,
        validate=ma.validate.Length(max=len(ITEMS)),
        metadata={"description": "What to ask; empty: only to open the diary"},
    )
    enabled = Flag(load_default=True)


class ReminderSchema(WantedSchema):
    id = ma.fields.UUID(required=True)
    version = ma.fields.Integer(required=True)


def reminder_shown(reminder: Reminder) -> dict[str, Any]:
    """A reminder as the API shows it (`ReminderSchema`)."""
    return {
        "id": reminder.id,
        "title": reminder.title,
        "local_times": reminder.local_times,
        "weekdays": reminder.weekdays,
        "items": reminder.items,
        "enabled": reminder.enabled,
        "version": reminder.version,
    }
