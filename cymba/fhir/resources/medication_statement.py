"""MedicationStatement: a medication that the person wrote down as taken, in their own words.

It says of a moment, not for how long: the status is `unknown`. That nothing was taken, and other
treatments, are in the QuestionnaireResponse.
"""

from collections.abc import Iterator

from cymba.diary.tables import ReadEntry
from cymba.fhir.parts import Resource, concept, date_time, reference, resource, text
from cymba.fhir.record import ENTRIES, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType


def _statements(entry: ReadEntry, owner: RecordOwner) -> Iterator[Resource]:
    person = reference("Patient", owner.account_id)
    for at, taking in enumerate(entry.items.get("medication", ())):
        name, dose = text(taking["name"]), text(taking.get("dose"))
        if name is None:
            continue
        yield resource(
            "MedicationStatement",
            f"{entry.id}.{at}",
            {
                "status": "unknown",
                "medicationCodeableConcept": concept(name),
                "subject": person,
                "effectiveDateTime": date_time(entry.felt_at, entry.time_zone),
                "dateAsserted": date_time(entry.written_at, entry.time_zone),
                "informationSource": person,
                "derivedFrom": [reference("QuestionnaireResponse", entry.id)],
                "dosage": [{"text": dose}] if dose else None,
            },
            updated_at=entry.changed_at,
        )


MEDICATION_STATEMENT = ResourceType(
    "MedicationStatement",
    "Medication that the person wrote down as taken, in their own words.",
    (Maker(ENTRIES, _statements),),
    person=("patient", "subject"),
    date="effective",
    is_dated=True,
)
