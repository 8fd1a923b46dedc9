"""Observation: the figures of sessions, the scores of the diary, readings that the person brought
from elsewhere, and those of a session on request."""

from cymba.fhir.record import ENTRIES, SESSIONS
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.fhir.resources.diary_scores import of_entry
from cymba.fhir.resources.imported_readings import MAKERS
from cymba.fhir.resources.session_figures import of_session
from cymba.fhir.sampled import SAMPLED, of_readings

OBSERVATION = ResourceType(
    "Observation",
    "Figures of sessions, scores of the diary, imported readings, and by `_id` or read alone the "
    "readings of a session as SampledData: `<session>.raw.<channel>`, as that of `heart-rate-bpm`.",
    (Maker(SESSIONS, of_session), Maker(ENTRIES, of_entry), *MAKERS, Maker(SAMPLED, of_readings)),
    person=("patient", "subject"),
    date="date",
    is_dated=True,
    has_codes=True,
)
