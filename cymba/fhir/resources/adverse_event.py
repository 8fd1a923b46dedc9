"""AdverseEvent: a side effect that the person wrote down.

That the device caused it is nowhere said, so there is no `suspectEntity`. The severity is the
person's own word, no clinical grade. One that was `none` is in the QuestionnaireResponse alone.
"""

from collections.abc import Iterator

from cymba.diary.items import ITEMS
from cymba.diary.tables import ReadEntry
from cymba.fhir.parts import (
    TERMINOLOGY,
    Resource,
    coding,
    concept,
    date_time,
    extension,
    fhir_name,
    reference,
    resource,
)
from cymba.fhir.record import ENTRIES, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.fhir.resources.diary_scores import code_of


def _events(entry: ReadEntry, owner: RecordOwner) -> Iterator[Resource]:
    person = reference("Patient", owner.account_id)
    for name, value in entry.items.items():
        item = ITEMS.get(name)
        if item is None or item.group != "side_effect" or value["severity"] == "none":
            continue
        written = reference("QuestionnaireResponse", entry.id)
        extensions = [extension("written-in", valueReference=written)]
        if "bothersome" in value:
            extensions.append(extension("bothersome", valueBoolean=value["bothersome"]))
        system = f"{TERMINOLOGY}adverse-event-severity"
        yield resource(
            "AdverseEvent",
            f"{entry.id}.{fhir_name(name)}",
            {
                "extension": extensions,
                "actuality": "actual",
                "event": code_of(item),
                "subject": person,
                "date": date_time(entry.felt_at, entry.time_zone),
                "recordedDate": date_time(entry.written_at, entry.time_zone),
                "severity": concept(
                    f"{value['severity']}, as the person says", coding(system, value["severity"])
                ),
                "recorder": person,
            },
            updated_at=entry.changed_at,
        )


ADVERSE_EVENT = ResourceType(
    "AdverseEvent",
    "Side effects that the person wrote down, with their own word for how severe. Not what caused "
    "them.",
    (Maker(ENTRIES, _events),),
    person=("patient", "subject"),
    date="date",
    is_dated=True,
)
