"""The resource types that there are, in the order in which a whole record is read."""

from typing import Final

from cymba.fhir.resources.device import DEVICE
from cymba.fhir.resources.patient import PATIENT

RESOURCE_TYPES: Final = {
    one.name: one
    for one in (
        PATIENT,
        DEVICE,
    )
}
