"""DeviceUseStatement: who held a device from when to when. That it was used, a Procedure says."""

from collections.abc import Iterator

from cymba.devices.tables import DeviceTenure
from cymba.fhir.parts import Resource, date_time, device_id_shown, period, reference, resource
from cymba.fhir.record import TENURES, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType


def _statement(tenure: DeviceTenure, owner: RecordOwner) -> Iterator[Resource]:
    is_held = tenure.released_at is None
    yield resource(
        "DeviceUseStatement",
        tenure.id,
        {
            "status": "active" if is_held else "completed",
            "subject": reference("Patient", owner.account_id),
            "timingPeriod": period(tenure.claimed_at, tenure.released_at),
            "recordedOn": date_time(tenure.claimed_at),
            "device": reference("Device", device_id_shown(tenure.device_id)),
        },
    )


DEVICE_USE_STATEMENT = ResourceType(
    "DeviceUseStatement",
    "From when to when the person held a device. What they did with it is in Procedure.",
    (Maker(TENURES, _statement),),
    person=("patient", "subject"),
)
