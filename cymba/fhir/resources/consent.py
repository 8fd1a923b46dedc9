"""Consent: what the person agreed to, with the version of the text that they read."""

from collections.abc import Iterator
from typing import Final

from cymba.accounts.consent import PURPOSES
from cymba.accounts.tables import Consent
from cymba.fhir.parts import (
    LOINC,
    OWN,
    TERMINOLOGY,
    Resource,
    coding,
    concept,
    date_time,
    extension,
    own,
    reference,
    resource,
)
from cymba.fhir.record import CONSENTS, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType

_SCOPES: Final = {"research": "research"}  # any other is about the person's own data


def _consent(given: Consent, owner: RecordOwner) -> Iterator[Resource]:
    person = reference("Patient", owner.account_id)
    purpose, withdrawn_at = given.purpose, given.withdrawn_at
    title = PURPOSES[purpose].title if purpose in PURPOSES else purpose
    scope = _SCOPES.get(purpose, "patient-privacy")
    read = f"{given.text_version}/{given.text_language}"
    extensions = [extension("text-sha256", valueString=given.text_sha256)]
    if withdrawn_at is not None:
        extensions.append(extension("withdrawn-at", valueDateTime=date_time(withdrawn_at)))
    yield resource(
        "Consent",
        given.id,
        {
            "extension": extensions,
            "status": "active" if withdrawn_at is None else "inactive",
            "scope": concept(scope, coding(f"{TERMINOLOGY}consentscope", scope)),
            "category": [concept(title, coding(LOINC, "59284-0"), own("consent", purpose, title))],
            "patient": person,
            "dateTime": date_time(given.given_at),
            "performer": [person],
            "policy": [{"uri": f"{OWN}consent:{purpose}:{read}"}],
            "provision": {"type": "permit"},
        },
        updated_at=withdrawn_at or given.given_at,
    )


CONSENT = ResourceType(
    "Consent",
    "What the person agreed to, and withdrew. Read by the person alone.",
    (Maker(CONSENTS, _consent),),
    date="date",
    is_dated=True,
)
