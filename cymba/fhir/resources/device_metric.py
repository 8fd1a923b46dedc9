"""DeviceMetric: what a device has been seen to report of a session, by its channels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.devices.tables import DeviceTenure
from cymba.fhir.parts import (
    UCUM,
    Resource,
    coding,
    concept,
    device_id_shown,
    fhir_name,
    own,
    reference,
    resource,
)
from cymba.fhir.record import RecordOwner, RecordRow, Source, listed
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.wire.channels import CHANNELS

_SESSION = StimulationSession


@dataclass(frozen=True, slots=True)
class _Reported:
    """A channel, and the figure of a session that is there where the channel was."""

    channel: str
    figure: Any
    category: str = "measurement"


_REPORTED: Final = (
    _Reported("amplitude_ua", _SESSION.max_amplitude_ua, "setting"),
    _Reported("native_level", _SESSION.max_native_level, "setting"),
    _Reported("impedance_ohm", _SESSION.mean_impedance_ohm),
    _Reported(
        "heart_rate_bpm",
        func.coalesce(_SESSION.heart_rate_before_bpm, _SESSION.heart_rate_during_bpm),
    ),
    _Reported("rr_ms", _SESSION.rr_artefact_share),
)


class _Metric(NamedTuple):
    device_id: str
    reported: _Reported


def _rows(session: Session, owner: RecordOwner) -> Iterator[RecordRow]:
    counts = [func.count(one.figure) for one in _REPORTED]
    query = (
        select(_SESSION.device_id, func.min(_SESSION.started_at), *counts)
        .where(_SESSION.account_id == owner.account_id, _SESSION.deleted_at.is_(None))
        .where(
            _SESSION.device_id.in_(
                select(DeviceTenure.device_id).where(DeviceTenure.account_id == owner.account_id)
            )
        )
        .group_by(_SESSION.device_id)
    )
    for device_id, first_at, *found in session.execute(query):
        for reported, sessions in zip(_REPORTED, found, strict=True):
            if sessions:
                id_ = f"{device_id_shown(device_id)}.{fhir_name(reported.channel)}"
                yield RecordRow(first_at, id_, None, None, _Metric(device_id, reported))


def _metric(metric: _Metric, _: RecordOwner) -> Iterator[Resource]:
    channel = CHANNELS[metric.reported.channel]
    shown_id = device_id_shown(metric.device_id)
    yield resource(
        "DeviceMetric",
        f"{shown_id}.{fhir_name(channel.name)}",
        {
            "type": concept(channel.title, own("channel", channel.name, channel.title)),
            "unit": concept(channel.unit, coding(UCUM, channel.unit)),
            "source": reference("Device", shown_id),
            "category": metric.reported.category,
        },
    )


DEVICE_METRIC = ResourceType(
    "DeviceMetric",
    "What the devices have been seen to report: one for each channel of their sessions.",
    (Maker(Source("metric", "sessions", listed(_rows)), _metric),),
)
