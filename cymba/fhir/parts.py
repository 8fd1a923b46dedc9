"""What FHIR's resources are put together from: codes, quantities, references, times.

A meaning is never made stronger than it is. Where no code of LOINC or SNOMED CT is known to fit,
the code is Cymba's own; what nobody measured says so (`unknown`) and is no number.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

Resource = dict[str, Any]

OWN: Final = "urn:cymba:fhir:"
LOINC: Final = "http://loinc.org"
SNOMED_CT: Final = "http://snomed.info/sct"
ICD_10_CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
UCUM: Final = "http://unitsofmeasure.org"
TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SYSTEMS: Final = {"LOINC": LOINC, "SNOMED CT": SNOMED_CT}


def coding(system: str, code: str, display: str | None = None) -> Resource:
    made = {"system": system, "code": code}
    return made if display is None else made | {"display": display}


def own(kind: str, name: str, display: str | None = None) -> Resource:
    """A code of Cymba's own, of one of its lists."""
    return coding(OWN + kind, fhir_name(name), display)


def known(code: str | None) -> list[Resource]:
    """The coding of `LOINC 72514-3` or `SNOMED CT 25064002`; none where there is none."""
    if code is None:
        return []
    system, _, value = code.rpartition(" ")
    return [coding(_SYSTEMS[system], value)]


def concept(text: str, *codings: Resource) -> Resource:
    return {"coding": list(codings), "text": text} if codings else {"text": text}


def observation_category(name: str) -> list[Resource]:
    """Of the list that FHIR has of them."""
    return [concept(name, coding(f"{TERMINOLOGY}observation-category", name))]


def fhir_name(name: str) -> str:
    """A name of ours as FHIR's ids and codes may hold it: without `_`."""
    return name.replace("_", "-")


def device_id_shown(device_id: str) -> str:
    """FHIR's ids know no `_`, and ours no `.`."""
    return device_id.replace("_", ".")


def device_id_meant(shown: str) -> str:
    return shown.replace(".", "_")


def quantity(value: float, unit: str) -> Resource:
    """`unit` is UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def absent(reason: str = "unknown") -> Resource:
    return concept(reason, coding(f"{TERMINOLOGY}data-absent-reason", reason))


def absent_value() -> Resource:
    """A value that is not known, where FHIR has no field for the reason."""
    url = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    return {"extension": [{"url": url, "valueCode": "unknown"}]}


def words(name: str) -> str:
    return name.replace("_", " ")


def reference(kind: str, id_: object) -> Resource:
    return {"reference": f"{kind}/{id_}"}


def extension(name: str, **value: Any) -> Resource:
    return {"url": OWN + name, **value}


def date_time(at: datetime, time_zone: str | None = None) -> str:
    """To the millisecond, by the clock of the zone in which it was."""
    local = at.astimezone(UTC if time_zone is None else ZoneInfo(time_zone))
    offset = local.utcoffset() or timedelta()
    if offset.total_seconds() % 60:
        local = at.astimezone(UTC)  # before there were zones; FHIR knows no seconds of an offset
    return local.isoformat(timespec="milliseconds")


def period(
    begin: datetime | None, end: datetime | None, time_zone: str | None = None
) -> dict[str, str]:
    made = {"start": begin, "end": end}
    return {name: date_time(at, time_zone) for name, at in made.items() if at is not None}


def resource(
    kind: str, id_: object, fields: Mapping[str, Any], *, updated_at: datetime | None = None
) -> Resource:
    """Its fields but those that are empty, which FHIR does not allow."""
    made: Resource = {"resourceType": kind, "id": str(id_)}
    if updated_at is not None:
        made["meta"] = {"lastUpdated": date_time(updated_at)}
    return made | {name: value for name, value in fields.items() if _is_there(value)}


def text(value: str | None) -> str | None:
    """As FHIR's strings may be: without control characters, and not of spaces alone."""
    if value is None:
        return None
    kept = _CONTROL.sub(" ", value)
    return kept if kept.strip() else None


def _is_there(value: Any) -> bool:
    return value is not None and value not in ([], {})
