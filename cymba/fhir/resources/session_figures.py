"""Observations of a session: its figures as one summary, and apart from it what LOINC has a code
for or other systems look for by itself.

`digits` are those of the API's answers. A figure that the data does not show says so, as a
component without a value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cymba.fhir.parts import (
    LOINC,
    Resource,
    absent,
    coding,
    concept,
    device_id_shown,
    fhir_name,
    observation_category,
    own,
    quantity,
    reference,
    resource,
)
from cymba.fhir.record import RecordOwner
from cymba.fhir.resources.procedure import performed, time_extensions
from cymba.fhir.sampled import sampled_id
from cymba.stimulation.session.shown import Shown


@dataclass(frozen=True, slots=True)
class Figure:
    name: str  # of what the API shows of a session
    title: str
    unit: str  # UCUM
    digits: int = 0


# A level is a level: no current is made of it. Neither is comparable between device models.
SUMMARY: Final = (
    Figure("stimulating_s", "Time stimulating", "s", 3),
    Figure("contact_lost_s", "Time without contact", "s", 3),
    Figure("delivered_charge_uc", "Charge delivered", "uC", 3),
    Figure("pulses", "Pulses", "{pulse}"),
    Figure("mean_amplitude_ua", "Mean amplitude while stimulating", "uA", 1),
    Figure("max_amplitude_ua", "Highest amplitude", "uA"),
    Figure("mean_native_level", "Mean level while stimulating", "{level}", 2),
    Figure("max_native_level", "Highest level", "{level}"),
    Figure("mean_amplitude_over_threshold", "Mean amplitude by the sensory threshold", "1", 3),
    Figure("mean_impedance_ohm", "Mean impedance while stimulating", "Ohm", 1),
    Figure("start_impedance_ohm", "Impedance at the start", "Ohm", 1),
    Figure("rr_artefact_share", "Share of artefacts among beats", "1", 4),
)
PROGRAMME: Final = (
    Figure("frequency_hz", "Frequency set", "Hz", 3),
    Figure("pulse_width_us", "Pulse width set", "us"),
    Figure("amplitude_ua", "Amplitude set by the programme", "uA"),
    Figure("native_level", "Level set by the programme", "{level}"),
    Figure("on_s", "On set", "s"),
    Figure("off_s", "Off set", "s"),
    Figure("duration_s", "Duration set", "s"),
)


@dataclass(frozen=True, slots=True)
class Single:
    """An Observation by itself; `channel`: what it was made of, where that can be shown."""

    figure: Figure
    loinc: str | None = None
    category: str = "procedure"
    channel: str | None = None


SINGLE: Final = (
    Single(
        Figure("heart_rate_before_bpm", "Mean heart rate before the stimulation", "/min", 1),
        "8867-4",
        "vital-signs",
        "heart_rate_bpm",
    ),
    Single(
        Figure("heart_rate_during_bpm", "Mean heart rate while stimulating", "/min", 1),
        "8867-4",
        "vital-signs",
        "heart_rate_bpm",
    ),
    # 80404-7 is SDNN, another measure: it is not RMSSD's code.
    Single(Figure("rmssd_ms", "RMSSD of the beats between artefacts", "ms", 1)),
)


def of_session(shown: Shown, owner: RecordOwner) -> Iterator[Resource]:
    programme = shown["programme"] or {}
    components = [_component(one, shown[one.name]) for one in SUMMARY]
    components += [
        _component(one, programme[one.name], "programme")
        for one in PROGRAMME
        if programme.get(one.name) is not None
    ]
    yield _observation(
        shown,
        owner,
        "summary",
        {
            "category": observation_category("procedure"),
            "code": concept("Figures of a session", own("session", "summary")),
            "component": components,
        },
    )
    for single in SINGLE:
        figure, value = single.figure, shown[single.figure.name]
        if value is not None:
            standard = [coding(LOINC, single.loinc)] if single.loinc else []
            yield _observation(
                shown,
                owner,
                fhir_name(figure.name),
                {
                    "category": observation_category(single.category),
                    "code": concept(
                        figure.title, *standard, own("session", figure.name, figure.title)
                    ),
                    "valueQuantity": quantity(round(value, figure.digits), figure.unit),
                    "derivedFrom": [
                        reference("Observation", sampled_id(shown["id"], single.channel))
                    ]
                    if single.channel
                    else None,
                },
            )


def status_of(shown: Shown) -> str:
    """`final` only of what no late frame and no person can change any more."""
    if shown["recorder"] != "device":
        return "amended" if shown["version"] > 1 else "preliminary"
    is_whole = shown["state"] == "ended" and shown["completeness"] == 1
    return "final" if is_whole and not shown["doubts"] and not shown["told_by"] else "preliminary"


def _observation(shown: Shown, owner: RecordOwner, name: str, fields: Resource) -> Resource:
    by_device = shown["recorder"] == "device"
    common: Resource = {
        "extension": time_extensions(shown),
        "partOf": [reference("Procedure", shown["id"])],
        "status": status_of(shown),
        "subject": reference("Patient", owner.account_id),
        "effectivePeriod": performed(shown),
        "performer": None if by_device else [reference("Patient", owner.account_id)],
        "device": reference("Device", device_id_shown(shown["device_id"]))
        if by_device and shown["device_id"]
        else None,
    }
    return resource(
        "Observation", f"{shown['id']}.{name}", common | fields, updated_at=shown["changed_at"]
    )


def _component(figure: Figure, value: float | None, kind: str = "session") -> Resource:
    code = {"code": concept(figure.title, own(kind, figure.name, figure.title))}
    if value is None:
        return code | {"dataAbsentReason": absent()}
    shown = round(value, figure.digits) if figure.digits else value
    return code | {"valueQuantity": quantity(shown, figure.unit)}
