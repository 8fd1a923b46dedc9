"""Procedure: a session, whoever recorded it.

How it ended is known of what a device recorded. Of what a phone or the person wrote down nobody
knows whether it ended as it was meant to, so its status is `unknown`.
"""

from collections.abc import Iterator

from cymba.fhir.parts import (
    Resource,
    absent_value,
    concept,
    device_id_shown,
    extension,
    fhir_name,
    own,
    period,
    quantity,
    reference,
    resource,
    text,
    words,
)
from cymba.fhir.record import SESSIONS, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.stimulation.session.shown import Shown


def _procedure(shown: Shown, owner: RecordOwner) -> Iterator[Resource]:
    is_open, reason = shown["state"] == "open", shown["end_reason"]
    by_hand, note = shown["recorder"] != "device", text(shown["note"])
    person = reference("Patient", owner.account_id)
    device_id, model = shown["device_id"], shown["model"]
    yield resource(
        "Procedure",
        shown["id"],
        {
            "extension": [*time_extensions(shown), *_extensions(shown)],
            "status": "in-progress" if is_open else _status(reason),
            "statusReason": concept(words(reason), own("end-reason", reason)) if reason else None,
            "code": concept(
                "Session of transcutaneous vagus nerve stimulation", own("procedure", "session")
            ),
            "subject": person,
            "performedPeriod": performed(shown),
            "recorder": person if by_hand else None,
            "bodySite": _site(shown),
            "usedReference": [reference("Device", device_id_shown(device_id))]
            if device_id
            else None,
            "usedCode": [concept(words(model), own("device-model", model))] if model else None,
            "note": [{"text": note}] if note else None,
        },
        updated_at=shown["changed_at"],
    )


def performed(shown: Shown) -> dict[str, str]:
    """While a session is open it has no end, only a last sample."""
    ended_at = None if shown["state"] == "open" else shown["ended_at"]
    return period(shown["started_at"], ended_at, shown["time_zone"])


def time_extensions(shown: Shown) -> list[Resource]:
    """How its times are known, and how far off they may be: null where nobody knows."""
    error_ms = shown["time_error_ms"]
    far_off = absent_value() if error_ms is None else quantity(error_ms, "ms")
    return [
        extension("time-source", valueCode=fhir_name(shown["time_source"])),
        extension("time-error", valueQuantity=far_off),
    ]


def _status(reason: str | None) -> str:
    match reason:
        case None | "unknown_inferred":
            return "unknown"
        case "completed":
            return "completed"
        case _:
            return "stopped"


def _extensions(shown: Shown) -> Iterator[Resource]:
    if shown["completeness"] is not None:
        yield extension("completeness", valueDecimal=round(shown["completeness"], 4))
    for doubt in shown["doubts"]:
        yield extension("doubt", valueCode=fhir_name(doubt))
    if shown["excluded"]:
        yield extension("left-out-of-insights", valueBoolean=True)


def _site(shown: Shown) -> list[Resource]:
    """In Cymba's own words: no code is known to say at which part of the ear an electrode is."""
    named = [(kind, shown[kind]) for kind in ("site", "side") if shown[kind]]
    if not named:
        return []
    codings = [own(kind, value, words(value)) for kind, value in named]
    return [concept(", ".join(words(value) for _, value in named), *codings)]


PROCEDURE = ResourceType(
    "Procedure",
    "The sessions: when, with which device, how they ended, and how far off their times may be.",
    (Maker(SESSIONS, _procedure),),
    person=("patient", "subject"),
    date="date",
    is_dated=True,
)
