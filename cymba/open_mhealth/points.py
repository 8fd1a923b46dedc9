"""A data point: a header that says what it is and where it comes from, and a body of its schema.

The schemas have no place for how far off a time may be, nor for where a reading comes from. They
allow other members: the header's `cymba` says it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID, uuid5

import orjson

from cymba.fhir.parts import date_time

DataPoint = dict[str, Any]


class BodySchema(NamedTuple):
    namespace: str
    name: str
    version: str

    @property
    def file_name(self) -> str:
        """No system forbids it, as some do a colon."""
        return f"{'_'.join(self)}.ndjson"


HEART_RATE: Final = BodySchema("omh", "heart-rate", "2.0")
RR_INTERVAL: Final = BodySchema("omh", "rr-interval", "1.0")
TOTAL_SLEEP_TIME: Final = BodySchema("ieee", "total-sleep-time", "1.0")
SLEEP_EPISODE: Final = BodySchema("ieee", "sleep-episode", "1.0")
TIME_IN_BED: Final = BodySchema("ieee", "time-in-bed", "1.0")


def data_point(
    account_id: UUID,
    schema: BodySchema,
    body: Mapping[str, Any],
    *,
    row: str,
    created_at: str,
    origin: Mapping[str, Any],
    modality: Literal["sensed", "self-reported"] | None,
) -> DataPoint:
    """`row` tells apart what the same is said of. The same data point has the same id in every
    archive, and another once anything of it has changed. `modality` None: it is not known."""
    said = orjson.dumps([*schema, row, body, origin], option=orjson.OPT_SORT_KEYS).decode()
    header: DataPoint = {
        "uuid": str(uuid5(account_id, said)),
        "schema_id": schema._asdict(),
        "source_creation_date_time": created_at,
    }
    if modality is not None:
        header["modality"] = modality
    return {"header": header | {"cymba": origin}, "body": body}


def value_of(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit}


def time_frame(begin: datetime, end: datetime, time_zone: str | None = None) -> dict[str, Any]:
    """A moment, or an interval, by the clock of the zone in which it was."""
    if begin == end:
        return {"date_time": date_time(end, time_zone)}
    return {
        "time_interval": {
            "start_date_time": date_time(begin, time_zone),
            "end_date_time": date_time(end, time_zone),
        }
    }
