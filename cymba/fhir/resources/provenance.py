"""Provenance: who recorded a session or wrote an entry. Times have their own evidence beside them.

`recorded` is when what is shown last changed here.
"""

from collections.abc import Iterator
from datetime import datetime

from cymba.diary.tables import ReadEntry
from cymba.fhir.parts import (
    TERMINOLOGY,
    Resource,
    coding,
    concept,
    date_time,
    device_id_shown,
    reference,
    resource,
)
from cymba.fhir.record import ENTRIES, SESSIONS, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.fhir.resources.procedure import performed, time_extensions
from cymba.stimulation.session.shown import Shown


def _of_session(shown: Shown, owner: RecordOwner) -> Iterator[Resource]:
    by_device = shown["recorder"] == "device"
    who = (
        reference("Device", device_id_shown(shown["device_id"]))
        if by_device
        else reference("Patient", owner.account_id)
    )
    target = reference("Procedure", shown["id"])
    fields = {"extension": time_extensions(shown), "occurredPeriod": performed(shown)}
    yield _provenance(str(shown["id"]), target, who, shown["changed_at"], fields)


def _of_entry(entry: ReadEntry, owner: RecordOwner) -> Iterator[Resource]:
    who = reference("Patient", owner.account_id)
    target = reference("QuestionnaireResponse", entry.id)
    fields = {"occurredDateTime": date_time(entry.felt_at, entry.time_zone)}
    # An app makes an entry's id, so it may be that of a session too.
    yield _provenance(f"{entry.id}.entry", target, who, entry.changed_at, fields)


def _provenance(
    id_: str, target: Resource, who: Resource, recorded_at: datetime, fields: Resource
) -> Resource:
    agent = {
        "type": concept("author", coding(f"{TERMINOLOGY}provenance-participant-type", "author")),
        "who": who,
    }
    recorded = {"target": [target], "recorded": date_time(recorded_at), "agent": [agent]}
    return resource("Provenance", id_, fields | recorded, updated_at=recorded_at)


PROVENANCE = ResourceType(
    "Provenance",
    "Who recorded each session and wrote each entry of the diary.",
    (Maker(SESSIONS, _of_session), Maker(ENTRIES, _of_entry)),
    date="recorded",
    date_is="updated",
    is_dated=True,
)
