"""Observation: the figures of sessions, the scores of the diary, and readings on request."""

from cymba.fhir.record import ENTRIES, SESSIONS
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.fhir.resources.diary_scores import of_entry
from cymba.fhir.resources.session_figures import of_session
from cymba.fhir.sampled import SAMPLED, of_readings

OBSERVATION = ResourceType(
    "Observation",
    "Figures of sessions, scores of the diary, and by `_id` or read alone the readings of a "
    "channel as SampledData: `<session>.raw.<channel>`, such as that of `heart-rate-bpm`.",
    (Maker(SESSIONS, of_session), Maker(ENTRIES, of_entry), Maker(SAMPLED, of_readings)),
    person=("patient", "subject"),
    date="date",
    is_dated=True,
    has_codes=True,
)
