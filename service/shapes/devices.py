"""A device as the API shows it to its holder."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.devices.held_devices import HeldDevice
from cymba.stimulation.session.electrode import Reason, State, electrode_wears
from service.http import out
from service.http.fields import Schema
from service.http.language import spoken
from service.http.writing import writer
from service.shapes.programmes import before_trial_field

SUSPENSION_REASONS = ("flood",)


class DevicePresenceSchema(Schema):
    """What the device last said of itself."""

    online = out.flag(True)
    last_seen_at = out.instant("2026-03-01T18:22:05.000000Z", source="seen_at")
    changed_at = out.instant("2026-03-01T18:01:00.000000Z")
    firmware = out.text("2.4.1", null=True)
    battery_pct = out.whole(83, null=True)
    backlog_frames = out.whole(
        0,
        "Frames that the device still keeps: not uploaded yet",
        null=True,
        source="queued_frames",
    )


class DeviceSuspensionSchema(Schema):
    """The device may not connect to the broker for a while; it keeps what it records."""

    reason = out.text(
        "flood",
        "`flood`: it sent far more than its rate limit, thousands of messages in 10 s",
        one_of=SUSPENSION_REASONS,
    )
    suspended_at = out.instant("2026-03-01T18:20:00.000000Z")
    until = out.instant(
        "2026-03-01T18:30:00.000000Z", "Soon after which it is let in again by itself"
    )


class UnknownProgrammeSchema(Schema):
    """The device reported a programme version that was never set here. What it holds is unknown
    until it applies a newer one, which is on its way."""

    version = out.whole(3, source="ver")
    reported_at = out.instant("2026-03-01T18:20:00.000000Z")


def suspension_field(source: str | None = None) -> out.AnyField:
    about = "null of a device that may come in"
    return out.nested(DeviceSuspensionSchema, about, null=True, source=source, example=None)


class ElectrodeSchema(Schema):
    """How worn the electrode is, by the impedance at the start of sessions since it was changed.
    Our own rule, which no maker stands for."""

    state = out.text("good", one_of=get_args(State))
    reason = out.text(
        None,
        "`doubled`: twice that of the first sessions. `high`: above 10 kΩ. `rising`: at this pace "
        "it doubles within a week. `too_few_sessions`, `no_impedance`: why nothing is known",
        null=True,
        one_of=get_args(Reason),
    )
    changed_at = out.instant(
        None, "As the person said by a remark; null: counted since the claim", null=True
    )
    sessions = out.whole(14, "Since then, with an impedance")
    first_ohm = out.number(3200.0, "At the start of the first three, their median", null=True)
    recent_ohm = out.number(3500.0, "Of the last three", null=True)
    rise_per_week = out.number(
        None, "0.1: a tenth more each week; null where it does not certainly rise", null=True
    )


class DeviceSchema(Schema):
    id = out.text("ey5f0c4e0b7c1d2a39", source="device.id")
    serial = out.text("EY4T7KQ2M9XD", source="device.serial")
    model = out.text("ear_cymba", source="device.model")
    model_title = out.text("Ear, cymba conchae", source=out.GIVEN)
    name = out.text("Left ear", source="tenure.name")
    claimed_at = out.instant("2026-03-01T09:40:00.000000Z", source="tenure.claimed_at")
    presence = out.nested(
        DevicePresenceSchema, "null of a device that never came online", null=True
    )
    suspension = suspension_field()
    unknown_programme = out.nested(
        UnknownProgrammeSchema,
        "null of a device whose programme is known",
        null=True,
        example=None,
    )
    before_trial = before_trial_field()
    electrode = out.nested(ElectrodeSchema, source=out.GIVEN)


_electrode_shown = writer(ElectrodeSchema)
_device_shown = writer(DeviceSchema)


def electrodes_shown(
    session: Session, account_id: UUID, held: Sequence[HeldDevice]
) -> list[dict[str, Any]]:
    """Of each of the devices, in their order."""
    claimed_at = {one.device.id: one.tenure.claimed_at for one in held}
    wears = electrode_wears(line_of(session), account_id, claimed_at)
    return [_electrode_shown(wears[device_id]) for device_id in claimed_at]


def devices_shown(
    session: Session,
    account_id: UUID,
    held: Sequence[HeldDevice],
    before: Mapping[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """`before`: `before_trials`."""
    voice, electrodes = spoken(), electrodes_shown(session, account_id, held)
    return [
        _device_shown(
            one,
            model_title=voice.title(one.model.titles),
            before_trial=before.get(one.device.id),
            electrode=electrode,
        )
        for one, electrode in zip(held, electrodes, strict=True)
    ]
