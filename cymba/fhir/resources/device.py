"""Device: a stimulator that the person holds or held.

Its serial number and the person's own name for it are shown to the person alone.
"""

from collections.abc import Iterator

from cymba.fhir.parts import Resource, concept, device_id_shown, own, reference, resource, text
from cymba.fhir.record import DEVICES, KnownDevice, RecordOwner
from cymba.fhir.resource_type import Maker, ResourceType


def _device(known: KnownDevice, owner: RecordOwner) -> Iterator[Resource]:
    model = known.model
    names = [{"name": model.title, "type": "model-name"}]
    own_name = text(known.name)
    if owner.is_own and own_name:
        names.append({"name": own_name, "type": "user-friendly-name"})
    version = text(known.firmware)
    yield resource(
        "Device",
        device_id_shown(known.device.id),
        {
            "serialNumber": known.device.serial if owner.is_own else None,
            "deviceName": names,
            "modelNumber": model.name,
            "type": concept(
                "Transcutaneous vagus nerve stimulator", own("device-type", "tvns-stimulator")
            ),
            "version": [{"type": concept("firmware"), "value": version}] if version else None,
            # Of a device that was let go, another may be the holder now.
            "patient": reference("Patient", owner.account_id) if known.is_held else None,
        },
    )


DEVICE = ResourceType(
    "Device",
    "The stimulators that the person holds or held, with the firmware of those they hold.",
    (Maker(DEVICES, _device),),
)
