"""A session as the API shows it: in the list, by itself, and in the sync feed."""

from typing import Any

import marshmallow as ma

from cymba.stimulation.session.summary import DOUBTS
from cymba.stimulation.wire.messages import END_REASONS
from cymba.stimulation.written.grouping import BEST_FIRST
from cymba.stimulation.written.sessions import RECORDERS, SIDES, SITES
from service.http import out
from service.http.examples import described
from service.http.fields import Flag, Instant, Schema, Text, Whole
from service.http.put_back import takes_what_is_shown
from service.http.writing import writer
from service.shapes.programmes import ShownProgrammeSchema

TIME_SOURCES = ("anchored", "device_clock", "between_boots", "arrival")


class LevelChangeSchema(Schema):
    """From then on, until the next."""

    offset_s = Whole(required=True, about="Since the session's start", example=0)
    native_level = Whole(required=True, about="On the model's own scale", example=3)


class WantedSessionSchema(Schema):
    """A session as a phone or the person writes it down, whole."""

    recorder = Text(
        required=True, about="`phone`: a timer measured it. `person`: by hand", example="person"
    )
    device_id = Text(
        load_default=None,
        allow_none=True,
        about="A device that the person holds or held; give this or `model`",
        example=None,
    )
    model = Text(
        load_default=None,
        allow_none=True,
        about="Where there is no device of Cymba's: only its kind",
        example="ear_clip",
    )
    started_at = Instant(required=True, example="2026-03-01T18:00:00.000000Z")
    time_zone = Text(required=True, about="IANA, where it took place", example="Europe/Berlin")
    duration_s = Whole(required=True, about="At most a day", example=1800)
    native_level = Whole(
        load_default=None,
        allow_none=True,
        about="That it was at, on the model's own scale",
        example=None,
    )
    level_changes = ma.fields.List(
        ma.fields.Nested(LevelChangeSchema),
        load_default=None,
        allow_none=True,
        metadata=described("Of a phone, instead of `native_level`: from the start on", None),
    )
    amplitude_ua = Whole(
        load_default=None,
        allow_none=True,
        about="As the device's dials say; none of a model by level",
        example=2000,
    )
    site = Text(load_default=None, allow_none=True, example="tragus")
    side = Text(load_default=None, allow_none=True, example="left")
    note = Text(load_default=None, allow_none=True, about="The person's own", example=None)
    excluded = Flag(load_default=False, about="Left out of the insights", example=False)
    same_as = ma.fields.UUID(
        load_default=None,
        allow_none=True,
        metadata=described(
            "The person's word: another session that this one is. Its own id: it is none other. "
            "null: its times decide",
            None,
        ),
    )


class WrittenSchema(Schema):
    """What a phone or the person wrote down, as it was written."""

    recorder = out.text("person", one_of=RECORDERS)
    device_id = out.text(None, null=True)
    model = out.text("ear_clip", null=True)
    started_at = out.instant("2026-03-01T18:00:00.000000Z")
    time_zone = out.text("Europe/Berlin")
    duration_s = out.whole(1800)
    native_level = out.whole(None, null=True)
    level_changes = out.many(LevelChangeSchema, null=True, example=None)
    amplitude_ua = out.whole(2000, null=True)
    site = out.text("tragus", null=True, one_of=SITES)
    side = out.text("left", null=True, one_of=SIDES)
    note = out.text(None, null=True)
    excluded = out.flag(False)
    same_as = out.uuid(None, null=True)
    version = out.whole(1)


class WitnessSchema(WrittenSchema):
    """Another record of the same session, kept as it is."""

    id = out.uuid("0d5c8f0e-6a7b-4c3d-9e2f-1a2b3c4d5e6f")


class SessionSchema(Schema):
    """A session, whoever recorded it. null: the data does not show it."""

    id = out.uuid("5b0d7c2e-8f14-5a39-9c60-1e2f3a4b5c6d")
    recorder = out.text(
        "device",
        "Who recorded it: the device by its frames, a phone's timer, or the person by hand",
        one_of=BEST_FIRST,
    )
    device_id = out.text(
        "ey5f0c4e0b7c1d2a39", "null: only a model is known of what was written down", null=True
    )
    model = out.text(None, "Where there is no `device_id`", null=True)
    site = out.text("cymba_conchae", null=True)
    side = out.text("left", null=True)
    shown_with = out.uuid(
        None,
        "The session that this one is shown and counted as; such a one is in no list, but in sync",
        null=True,
    )
    witnesses = out.many(
        WitnessSchema, "What a phone or the person wrote down of this same session", example=[]
    )
    told_by = out.table(
        {},
        "Fields that `recorder` does not have and another witness does, by name",
        values=out.text("person", one_of=RECORDERS),
    )
    written = out.nested(WrittenSchema, "null of what a device recorded", null=True, example=None)
    to_confirm = out.many(
        out.text("duration_s"),
        "Fields to ask about once more: kept as they are, but perhaps a slip",
        example=[],
    )
    time_zone = out.text("Europe/Berlin", "The person's, when the session came")
    state = out.text("ended", one_of=["open", "ended"])
    started_at = out.instant("2026-03-01T18:00:00.120000Z")
    ended_at = out.instant(
        "2026-03-01T18:30:00.120000Z",
        "Of the last sample so far, while the session is open",
        null=True,
    )
    time_source = out.text(
        "anchored",
        "What the session's times are known by",
        one_of=(*TIME_SOURCES, *RECORDERS),
    )
    time_error_ms = out.whole(
        140, "How far off the times may be; null: nobody knows of what was written down", null=True
    )
    end_reason = out.text("completed", null=True, one_of=END_REASONS)
    programme = out.nested(
        ShownProgrammeSchema,
        "What the device was set to; null until its start has come",
        null=True,
    )
    frames_stored = out.whole(182)
    frames_expected = out.whole(182, null=True)
    completeness = out.number(1.0, "Share of the session's frames that came", null=True)
    sample_count = out.whole(1800)
    stimulating_s = out.number(
        900.0,
        "With current, ramps included; where the model reports none, with a level above 0; "
        "where it reports neither, from the session's start to its end, without pauses",
        null=True,
    )
    contact_lost_s = out.number(0.0, "In which the electrode had no contact", null=True)
    delivered_charge_uc = out.number(11250.0, "Charge delivered, in microcoulomb", null=True)
    pulses = out.whole(22500, null=True)
    mean_amplitude_ua = out.number(
        2000.0, "While stimulating. Not comparable between device models", null=True
    )
    max_amplitude_ua = out.whole(2000, null=True)
    mean_native_level = out.number(
        None,
        "On the model's own scale, while stimulating. Not comparable between device models",
        null=True,
    )
    max_native_level = out.whole(None, null=True)
    mean_amplitude_over_threshold = out.number(
        2.0, "Multiple of the person's sensory threshold", null=True
    )
    mean_impedance_ohm = out.number(3200.0, "While stimulating", null=True)
    start_impedance_ohm = out.number(3500.0, "In its first minute with contact", null=True)
    heart_rate_before_bpm = out.number(71.5, "Mean before the first stimulation", null=True)
    heart_rate_during_bpm = out.number(70.2, "Mean while stimulating", null=True)
    rmssd_ms = out.number(
        38.4, "Of beats between artefacts; null if too many are artefacts", null=True
    )
    rr_artefact_share = out.number(0.02, "Share of the beats that are artefacts", null=True)
    event_count = out.whole(0)
    boots = out.many(out.whole(17), "The device's boots that the session spans")
    doubts = out.many(
        out.text("counter_falls", one_of=DOUBTS),
        "Where the frames contradict themselves, so that a figure may be wrong: "
        + "; ".join(f"`{name}`: {meaning}" for name, meaning in DOUBTS.items()),
        example=[],
    )
    note = out.text(None, "The person's own", null=True)
    excluded = out.flag(False, "Left out of the insights by the person")
    version = out.whole(3, 'As If-Match: `"<version>"`')
    changed_at = out.instant("2026-03-01T18:30:02.000000Z")


class UnsyncedSchema(Schema):
    """A device that may hold more than was uploaded: an empty list does not mean no session."""

    device_id = out.text("ey5f0c4e0b7c1d2a39")
    unsynced = out.text(
        "waiting",
        "`waiting`: it holds frames that are not uploaded. `unknown`: it may have recorded since "
        "it was last seen",
        one_of=["waiting", "unknown"],
    )
    backlog_frames = out.whole(112, null=True)
    complete_until = out.instant(
        "2026-03-01T17:58:00.000000Z", "All that it had recorded by then is here", null=True
    )


session_shown = writer(SessionSchema)
unsynced_shown = writer(UnsyncedSchema)
takes_what_is_shown(WantedSessionSchema, SessionSchema, record="written", told_by="told_by")


def event_detail(example: dict[str, Any] | None, source: str | None = None) -> out.AnyField:
    """What a device adds to the name of an event, in its own words."""
    return out.table(
        example,
        "The device's own: names with a text, a number, true, false or null",
        null=True,
        source=source,
        additionalProperties={"type": ["string", "number", "boolean", "null"]},
    )
