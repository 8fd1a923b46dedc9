"""The resource types that there are, in the order in which a whole record is read."""

from typing import Final

from cymba.fhir.resources.adverse_event import ADVERSE_EVENT
from cymba.fhir.resources.condition import CONDITION
from cymba.fhir.resources.consent import CONSENT
from cymba.fhir.resources.device import DEVICE
from cymba.fhir.resources.device_metric import DEVICE_METRIC
from cymba.fhir.resources.device_use_statement import DEVICE_USE_STATEMENT
from cymba.fhir.resources.medication_statement import MEDICATION_STATEMENT
from cymba.fhir.resources.observation import OBSERVATION
from cymba.fhir.resources.patient import PATIENT
from cymba.fhir.resources.procedure import PROCEDURE
from cymba.fhir.resources.provenance import PROVENANCE
from cymba.fhir.resources.questionnaire_response import QUESTIONNAIRE_RESPONSE

RESOURCE_TYPES: Final = {
    one.name: one
    for one in (
        PATIENT,
        DEVICE,
        DEVICE_METRIC,
        DEVICE_USE_STATEMENT,
        PROCEDURE,
        OBSERVATION,
        QUESTIONNAIRE_RESPONSE,
        ADVERSE_EVENT,
        CONDITION,
        MEDICATION_STATEMENT,
        CONSENT,
        PROVENANCE,
    )
}
