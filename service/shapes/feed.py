"""A page of the change feed: what an app's copy of an account is made of."""

from typing import Any

import marshmallow as ma
from sqlalchemy.orm import Session

from cymba.accounts.consent import StandingConsent
from cymba.accounts.tokens import Caller
from cymba.devices.held_devices import HeldDevice
from cymba.devices.programme import programme_on
from cymba.devices.screening import RED_FLAGS, LatestScreening
from cymba.sync.feed import Feed, FeedPages, Others
from cymba.sync.push import MAX_OPERATIONS
from cymba.text_version import TextVersion
from service.http import out
from service.http.examples import example_of
from service.http.fields import Schema
from service.http.language import spoken
from service.http.services import services
from service.http.sql_writing import WrittenInSql, as_written
from service.http.writing import writer
from service.shapes import devices, diary, remarks, reminders
from service.shapes.before_trial import before_trials
from service.shapes.experiments import ExperimentSchema
from service.shapes.findings import FindingSchema, finding_shown
from service.shapes.programme_states import programme_shown
from service.shapes.programmes import DeviceProgrammeSchema
from service.shapes.sessions import SessionSchema, session_shown
from service.shapes.trials import experiment_shown

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_OPERATION_BYTES = 64 * 1024


class PushLimitsSchema(Schema):
    """What fits into a push."""

    operations = out.whole(MAX_OPERATIONS)
    operation_bytes = out.whole(MAX_OPERATION_BYTES, "Of each, as it stands in the body")
    body_bytes = out.whole(MAX_BODY_BYTES, "Of all")


class TombstoneSchema(Schema):
    kind = out.text("diary-entry")
    id = out.text("9b2c1d0e-3f4a-4b5c-8d6e-7f8a9b0c1d2e", source="entity_id")


class SyncDeviceSchema(devices.DeviceSchema):
    programme = out.nested(DeviceProgrammeSchema, source=out.GIVEN)


class SyncConsentSchema(Schema):
    """A consent in force."""

    id = out.text("insights", "The purpose", source="purpose")
    text_version = out.text("1/en", "With the language it was read in", source=out.GIVEN)
    text_sha256 = out.text("0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0")
    given_at = out.instant("2026-03-01T09:31:00.000000Z")


class SyncScreeningSchema(Schema):
    """The person's latest answers to the contraindication questions for one model."""

    id = out.text("ear_cymba", "The model", source="model")
    answers = out.table({"active_implant": "no"}, "By question", values=out.text("no"))
    text_version = out.text("1/en", "Of the text that was answered", source=out.GIVEN)
    answered_at = out.instant("2026-03-01T09:00:00.000000Z")
    expires_at = out.instant("2026-08-28T09:00:00.000000Z")


class SyncRedFlagSchema(Schema):
    """A serious symptom that stands: while there is one, every programme is locked."""

    id = out.uuid("5e4d3c2b-1a09-4f8e-9d7c-6b5a49382716")
    symptom = out.text("chest_pain", one_of=RED_FLAGS)
    felt_at = out.instant("2026-03-01T06:30:00.000000Z")
    raised_at = out.instant("2026-03-01T06:31:12.000000Z")


class SyncPageSchema(Schema):
    """Apply the lists in this order; then keep `next_cursor`, and ask again while `more`."""

    sessions = out.many(SessionSchema)
    diary_entries = out.many(diary.DiaryEntrySchema)
    devices = out.many(SyncDeviceSchema)
    reminders = out.many(reminders.ReminderSchema)
    remarks = out.many(remarks.RemarkSchema)
    findings = out.many(FindingSchema)
    experiments = out.many(ExperimentSchema)
    consents = out.many(SyncConsentSchema)
    screenings = out.many(SyncScreeningSchema)
    red_flags = out.many(SyncRedFlagSchema, example=[])
    tombstones = out.many(TombstoneSchema)
    next_cursor = out.text("mKx1t2y0bJ7c…")
    more = out.flag(False)
    push_limits = out.nested(PushLimitsSchema)


PUSH_LIMITS = example_of(PushLimitsSchema)
_EMPTY: dict[str, Any] = {
    name: [] for name, field in SyncPageSchema().fields.items() if isinstance(field, ma.fields.List)
}
_tombstone_shown = writer(TombstoneSchema)
_consent_shown = writer(SyncConsentSchema)
_screening_shown = writer(SyncScreeningSchema)
_red_flag_shown = writer(SyncRedFlagSchema)


def _read(one: StandingConsent | LatestScreening) -> str:
    return str(TextVersion(one.text_version, one.text_language))


def nothing_new(cursor: str) -> dict[str, Any]:
    """A page without changes."""
    return _EMPTY | {"next_cursor": cursor, "more": False, "push_limits": PUSH_LIMITS}


FEED_PAGES = FeedPages(WrittenInSql(SessionSchema), WrittenInSql(diary.DiaryEntrySchema))


def page_shown(feed: Feed) -> dict[str, Any]:
    """As `SyncPageSchema`, without its cursor and what `others_shown` adds."""
    voice = spoken()
    return _EMPTY | {
        "sessions": as_written(feed.sessions, session_shown),
        "diary_entries": as_written(
            feed.diary_entries, lambda one: one | diary.marks(one["items"], voice)
        ),
        "tombstones": [_tombstone_shown(stone) for stone in feed.tombstones],
        "more": feed.more,
        "push_limits": PUSH_LIMITS,
    }


def others_shown(session: Session, account: Caller, others: Others) -> dict[str, Any]:
    """What of the page is read one by one."""
    voice, now = spoken(), services().now()
    before = before_trials(session, account) if others.devices or others.experiments else {}

    def programme(held: HeldDevice) -> dict[str, Any]:
        state = programme_on(session, account.id, held.device)
        return programme_shown(state, held.model, now)

    shown_devices = devices.devices_shown(session, account.id, others.devices, before)

    return {
        "devices": [
            shown | {"programme": programme(held)}
            for held, shown in zip(others.devices, shown_devices, strict=True)
        ],
        "reminders": [reminders.reminder_shown(reminder) for reminder in others.reminders],
        "remarks": [remarks.remark_shown(remark) for remark in others.remarks],
        "findings": [finding_shown(finding, voice) for finding in others.findings],
        "experiments": [
            experiment_shown(session, experiment, before, now) for experiment in others.experiments
        ],
        "consents": [_consent_shown(one, text_version=_read(one)) for one in others.consents],
        "screenings": [_screening_shown(one, text_version=_read(one)) for one in others.screenings],
        "red_flags": [_red_flag_shown(flag) for flag in others.red_flags],
    }
