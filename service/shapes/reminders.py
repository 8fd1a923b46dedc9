"""A reminder as the app writes it, and as the API shows it."""

import marshmallow as ma

from cymba.diary.items import ITEMS
from cymba.diary.reminders import LOCAL_TIME, MAX_TIMES, MAX_TITLE
from service.http import out
from service.http.examples import described
from service.http.fields import Flag, Pattern, Schema, Text, Whole
from service.http.put_back import takes_what_is_shown
from service.http.writing import writer


class ReminderChangeSchema(Schema):
    title = Text(
        required=True, validate=ma.validate.Length(min=1, max=MAX_TITLE), example="Morning"
    )
    local_times = ma.fields.List(
        Text(validate=Pattern(LOCAL_TIME)),
        required=True,
        validate=ma.validate.Length(min=1, max=MAX_TIMES),
        metadata=described("By the wall clock of the account's time zone", ["08:00"]),
    )
    weekdays = ma.fields.List(
        Whole(validate=ma.validate.Range(min=1, max=7)),
        required=True,
        validate=ma.validate.Length(min=1, max=7),
        metadata=described("1 is Monday", [1, 2, 3, 4, 5, 6, 7]),
    )
    items = ma.fields.List(
        Text(validate=ma.validate.OneOf(ITEMS)),
        required=True,
        validate=ma.validate.Length(max=len(ITEMS)),
        metadata=described(
            "What to ask; empty: only to open the diary", ["pain_now", "sleep_quality"]
        ),
    )
    enabled = Flag(load_default=True, example=True)
    at_usual_hour = Flag(
        load_default=False,
        metadata=described(
            "At the hour at which a session usually begins, on days without one; until there are "
            "enough sessions to say, at `local_times`",
            False,
        ),
    )


class ReminderSchema(ReminderChangeSchema):
    id = out.uuid("7d0a4a53-0b86-4c0e-8d1c-6a5b4c3d2e1f")
    version = out.whole(1)


reminder_shown = writer(ReminderSchema)
takes_what_is_shown(ReminderChangeSchema, ReminderSchema)
