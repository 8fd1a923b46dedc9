"""Prompts for the diary, at the person's own times of day."""

from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import marshmallow as ma
from flask import Response

from cymba.diary import reminders
from cymba.diary.reminders import Reminders
from cymba.stimulation.session.habit import habit
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.fields import Schema, Whole
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.reminders import (
    ReminderChangeSchema,
    ReminderSchema,
    reminder_shown,
)

blp = Resource("reminders", "Prompts for the diary")

MAX_PROMPTS = 100


class RemindersSchema(Schema):
    items = out.many(ReminderSchema)


class ReminderPromptSchema(Schema):
    at = out.instant("2026-03-02T07:00:00.000000Z")
    local = out.text("2026-03-02T08:00:00+01:00", "As the wall clock shows it", source=out.GIVEN)
    reminder_id = out.uuid("7d0a4a53-0b86-4c0e-8d1c-6a5b4c3d2e1f")
    items = out.many(out.text("pain_now"), example=["pain_now", "sleep_quality"])
    unless_session = out.flag(False, "Drop it once there is a session on that day")


class ReminderPromptsSchema(Schema):
    items = out.many(ReminderPromptSchema)


class CountSchema(Schema):
    count = Whole(
        in_query=True,
        load_default=10,
        validate=ma.validate.Range(min=1, max=MAX_PROMPTS),
        about="Of the next prompts",
    )


_prompt_shown = writer(ReminderPromptSchema)
_reminders = Reminders()


@blp.get("/v1/reminders")
@blp.answers(200, RemindersSchema)
@blp.etag
def list_reminders() -> Response:
    """List the reminders"""
    with transaction() as session:
        account = current_account(session)
        items = [reminder_shown(reminder) for reminder in reminders.mine(session, account.id)]
    return tagged({"items": items})


@blp.get("/v1/reminders/next")
@blp.query(CountSchema)
@blp.answers(200, ReminderPromptsSchema)
def list_prompts(query: dict[str, Any]) -> Response:
    """List the next prompts, over changes of clock and of zone

    A time that a spring change leaves out is prompted right after the gap; one that an autumn
    change repeats is prompted once.
    """
    count = query["count"]
    with transaction() as session:
        account = current_account(session)
        zone = ZoneInfo(account.time_zone)
        now = services().now()
        use = reminders.Use(*habit(session, account.id, zone, now=now))
        upcoming = [
            prompt
            for reminder in reminders.mine(session, account.id)
            for prompt in islice(reminders.prompts(reminder, zone, after=now, use=use), count)
        ]
    upcoming.sort(key=lambda prompt: (prompt.at, prompt.reminder_id))
    items = [_prompt_shown(prompt, local=_wall(prompt.local)) for prompt in upcoming[:count]]
    return answer({"items": items})


@blp.put("/v1/reminders/<uuid:reminder_id>")
@blp.body(ReminderChangeSchema)
@blp.answers(200, ReminderSchema, description="Changed, or as it was already")
@blp.answers(201, ReminderSchema, description="Made")
@blp.etag
@blp.header("If-Match", "The ETag of the copy that was changed; none for a new reminder.")
@blp.problems("gone", "stale", "if-match-required")
def save_reminder(given: dict[str, Any], reminder_id: UUID) -> Response:
    """Make or change a reminder, under an id that the app makes

    The same content again changes nothing, so a retry is harmless. Changing a reminder needs the
    ETag of the copy that was changed.
    """
    with transaction() as session:
        saved = _reminders.put(
            session,
            current_account(session).id,
            reminder_id,
            given,
            match=check_preconditions,
            now=services().now(),
        )
        body, version = reminder_shown(saved.row), saved.row.version
    return tagged(body, status=201 if saved.is_new else 200, version=version)


@blp.get("/v1/reminders/<uuid:reminder_id>")
@blp.answers(200, ReminderSchema)
@blp.etag
def get_reminder(reminder_id: UUID) -> Response:
    """Read one reminder"""
    with transaction() as session:
        reminder = _reminders.get(session, current_account(session).id, reminder_id)
        body, version = reminder_shown(reminder), reminder.version
    return tagged(body, version=version)


@blp.delete("/v1/reminders/<uuid:reminder_id>")
@blp.answers(204, description="Removed, now or before")
@blp.if_match
def remove_reminder(reminder_id: UUID) -> Response:
    """Remove a reminder"""
    with transaction() as session:
        account_id, now = current_account(session).id, services().now()
        _reminders.delete(session, account_id, reminder_id, match=check_preconditions, now=now)
    return nothing()


def _wall(local: datetime) -> str:
    return local.isoformat(timespec="seconds")
