"""A session as the API shows it: in the list, by itself, and in the sync feed."""

from typing import Any

from cymba.stimulation.session.summary import DOUBTS
from cymba.stimulation.wire.messages import END_REASONS
from service.http import out
from service.http.fields import Schema
from service.http.writing import writer
from service.shapes.programmes import ShownProgrammeSchema

TIME_SOURCES = ("anchored", "device_clock", "between_boots", "arrival")


class SessionSchema(Schema):
    """A session, from the frames that have come so far. null: the data does not show it."""

    id = out.uuid("5b0d7c2e-8f14-5a39-9c60-1e2f3a4b5c6d")
    device_id = out.text("ey5f0c4e0b7c1d2a39")
    time_zone = out.text("Europe/Berlin", "The person's, when the session came")
    state = out.text("ended", one_of=["open", "ended"])
    started_at = out.instant("2026-03-01T18:00:00.120000Z")
    ended_at = out.instant(
        "2026-03-01T18:30:00.120000Z",
        "Of the last sample so far, while the session is open",
        null=True,
    )
    time_source = out.text("anchored", "What the session's times are known by", one_of=TIME_SOURCES)
    time_error_ms = out.whole(140, "How far off the times may be")
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
        "With current, ramps included; where the model tells none, with a level above 0; where it "
        "tells neither, from the session's start to its end, without pauses",
        null=True,
    )
    contact_lost_s = out.number(0.0, "In which the electrode had no contact")
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


session_shown = writer(SessionSchema)


def event_detail(example: dict[str, Any] | None, source: str | None = None) -> out.AnyField:
    """What a device adds to the name of an event, in its own words."""
    return out.table(
        example,
        "The device's own: names with a text, a number, true, false or null",
        null=True,
        source=source,
        additionalProperties={"type": ["string", "number", "boolean", "null"]},
    )
