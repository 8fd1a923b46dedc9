"""A session as the API shows it: in the list, by itself, and in the sync feed."""

from typing import Any

import marshmallow as ma

from cymba.stimulation.session.queries import SHOWN
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.wire.messages import END_REASONS
from service.http.fields import Schema
from service.http.rounding import rounded
from service.shapes.programmes import PROGRAMME_EXAMPLE, ShownProgrammeSchema

TIME_SOURCES = ("anchored", "device_clock", "between_boots", "arrival")


_NAMES = tuple(column.key for column in SHOWN)


SESSION_EXAMPLE = {
    "id": "5b0d7c2e-8f14-5a39-9c60-1e2f3a4b5c6d",
    "device_id": "ey5f0c4e0b7c1d2a39",
    "time_zone": "Europe/Berlin",
    "state": "ended",
    "started_at": "2026-03-01T18:00:00.120000Z",
    "ended_at": "2026-03-01T18:30:00.120000Z",
    "time_source": "anchored",
    "time_error_ms": 140,
    "end_reason": "completed",
    "programme": PROGRAMME_EXAMPLE,
    "frames_stored": 182,
    "frames_expected": 182,
    "completeness": 1.0,
    "sample_count": 1800,
    "stimulating_s": 900.0,
    "contact_lost_s": 0.0,
    "delivered_charge_uc": 11250.0,
    "pulses": 22500,
    "mean_amplitude_ua": 2000.0,
    "max_amplitude_ua": 2000,
    "mean_amplitude_over_threshold": 2.0,
    "mean_impedance_ohm": 3200.0,
    "heart_rate_before_bpm": 71.5,
    "heart_rate_during_bpm": 70.2,
    "rmssd_ms": 38.4,
    "rr_artefact_share": 0.02,
    "event_count": 0,
    "boots": [17],
    "note": None,
    "excluded": False,
    "version": 3,
    "changed_at": "2026-03-01T18:30:02Z",
}


def _number(about: str, **kwargs: Any) -> ma.fields.Float:
    return ma.fields.Float(
        required=True, allow_none=True, metadata={"description": about}, **kwargs
    )


class SessionSchema(Schema):
    """A session as its frames tell it so far. null: not known, or not to be told from the data."""

    id = ma.fields.UUID(required=True)
    device_id = ma.fields.String(required=True)
    time_zone = ma.fields.String(
        required=True, metadata={"description": "The person's, when the session came"}
    )
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(["open", "ended"]))
    started_at = ma.fields.DateTime(required=True)
    ended_at = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Of the last sample so far, while the session is open"},
    )
    time_source = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(TIME_SOURCES),
        metadata={"description": "What the session's times are known by"},
    )
    time_error_ms = ma.fields.Integer(
        required=True, metadata={"description": "How far off the times may be"}
    )
    end_reason = ma.fields.String(
        required=True, allow_none=True, validate=ma.validate.OneOf(END_REASONS)
    )
    programme = ma.fields.Nested(
        ShownProgrammeSchema,
        required=True,
        allow_none=True,
        metadata={"description": "What the device was set to; null until its start has come"},
    )
    frames_stored = ma.fields.Integer(required=True)
    frames_expected = ma.fields.Integer(required=True, allow_none=True)
    completeness = _number("Share of the session's frames that came")
    sample_count = ma.fields.Integer(required=True)
    stimulating_s = ma.fields.Float(
        required=True, metadata={"description": "With current, ramps included"}
    )
    contact_lost_s = ma.fields.Float(
        required=True, metadata={"description": "In which the electrode had no contact"}
    )
    delivered_charge_uc = _number("Charge delivered, in microcoulomb")
    pulses = ma.fields.Integer(required=True, allow_none=True)
    mean_amplitude_ua = _number("While stimulating. Not comparable between device models")
    max_amplitude_ua = ma.fields.Integer(required=True, allow_none=True)
    mean_amplitude_over_threshold = _number("Multiple of the person's sensory threshold")
    mean_impedance_ohm = _number("While stimulating")
    heart_rate_before_bpm = _number("Mean before the first stimulation")
    heart_rate_during_bpm = _number("Mean while stimulating")
    rmssd_ms = _number("Of beats between artefacts; null if too many are artefacts")
    rr_artefact_share = _number("Share of the beats that are artefacts")
    event_count = ma.fields.Integer(required=True)
    boots = ma.fields.List(
        ma.fields.Integer(),
        required=True,
        metadata={"description": "The device's boots that the session spans"},
    )
    note = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The person's own"}
    )
    excluded = ma.fields.Boolean(
        required=True, metadata={"description": "Left out of the insights by the person"}
    )
    version = ma.fields.Integer(
        required=True, metadata={"description": 'As If-Match: `"<version>"`'}
    )
    changed_at = ma.fields.DateTime(required=True)


def event_detail() -> ma.fields.Dict:
    """What a device adds to the name of an event, in its own words."""
    return ma.fields.Dict(
        required=True,
        allow_none=True,
        metadata={
            "description": "The device's own: names with a text, a number, true, false or null",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
    )


def session_shown(found: StimulationSession) -> dict[str, Any]:
    """A session as every answer shows it."""
    return rounded({name: getattr(found, name) for name in _NAMES})
