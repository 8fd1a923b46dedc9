"""The days of a person of which all sessions are here: devices show it by what they have uploaded,
and the person says it of all else.

So history and insights can distinguish "no session" from "not known yet".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from cymba.devices.catalogue import find_models
from cymba.devices.tables import Device, DevicePresence, DeviceTenure
from cymba.stimulation.tables import AckLedgerRow, StimulationSession
from cymba.stimulation.written.tables import Remark, WrittenSession


class Upload(NamedTuple):
    """A device that the person held, and the time up to which all of it is uploaded.

    `held_from` is the claim, or the person's first session on the device if that was earlier.
    """

    held_from: datetime
    released_at: datetime | None
    uploaded_until: datetime | None


class UsedByHand(NamedTuple):
    """A device, or a model, that reports nothing: the person writes its sessions down."""

    used_from: datetime
    used_until: datetime | None


@dataclass(frozen=True, slots=True)
class CompleteDays:
    """The days of which all sessions are known to be here."""

    uploads: Sequence[Upload]
    by_hand: Sequence[UsedByHand]
    without_session: frozenset[date]  # the person said that there was none by hand

    @property
    def since(self) -> datetime | None:
        """The first time about which anything can be known."""
        begun = [one.held_from for one in self.uploads] + [one.used_from for one in self.by_hand]
        return min(begun, default=None)

    def is_complete(self, day: date, begins_at: datetime, ends_at: datetime) -> bool:
        """Whether no session of the local `day`, between these times, is missing: all that devices
        recorded is uploaded, and for all else the person said that there was none.

        False for a time in which the person used nothing, because nothing is known about it.
        """

        def in_use(one: Upload | UsedByHand) -> bool:
            used_from, used_until = one[0], one[1]
            return used_from < ends_at and (used_until is None or used_until > begins_at)

        by_hand = any(map(in_use, self.by_hand))
        held = [upload for upload in self.uploads if in_use(upload)]
        if by_hand and day not in self.without_session:
            return False
        return (by_hand or bool(held)) and all(
            upload.uploaded_until is not None
            and upload.uploaded_until >= min(ends_at, upload.released_at or ends_at)
            for upload in held
        )


def load_complete_days(session: Session, account_id: UUID) -> CompleteDays:
    uploads, by_hand = _held(session, account_id)
    return CompleteDays(
        uploads,
        by_hand + _models_used(session, account_id),
        _days_without_session(session, account_id),
    )


def _held(session: Session, account_id: UUID) -> tuple[list[Upload], list[UsedByHand]]:
    """The devices that the person held: those that record, and those that do not.

    A device reports when its flash store was empty. If no number of its stores is missing,
    everything before its latest session is here too. If one is missing (live sessions are sent
    before the backlog, and a damaged flash leaves a hole for good), only its report counts."""
    latest = (
        select(
            StimulationSession.device_id,
            func.max(StimulationSession.started_at).label("at"),
            func.min(StimulationSession.started_at).label("first_at"),
        )
        .where(StimulationSession.account_id == account_id)
        .where(StimulationSession.deleted_at.is_(None))
        .group_by(StimulationSession.device_id)
        .subquery()
    )
    resolved = AckLedgerRow.resolved
    with_holes = (
        select(AckLedgerRow.device_id)
        .where(
            (func.int8multirange(func.range_merge(resolved)) != resolved)
            | (func.lower(resolved) > 1)
        )
        .distinct()
        .subquery()
    )
    written = (
        select(WrittenSession.device_id, func.min(WrittenSession.started_at).label("first_at"))
        .where(WrittenSession.account_id == account_id, WrittenSession.deleted_at.is_(None))
        .group_by(WrittenSession.device_id)
        .subquery()
    )
    rows = session.execute(
        select(
            Device.model,
            case(
                (
                    DeviceTenure.claimed_at
                    == func.min(DeviceTenure.claimed_at).over(partition_by=DeviceTenure.device_id),
                    func.least(DeviceTenure.claimed_at, latest.c.first_at, written.c.first_at),
                ),
                else_=DeviceTenure.claimed_at,
            ),
            DeviceTenure.released_at,
            func.greatest(
                DevicePresence.drained_at, case((with_holes.c.device_id.is_(None), latest.c.at))
            ),
        )
        .join(Device, Device.id == DeviceTenure.device_id)
        .outerjoin(DevicePresence, DevicePresence.device_id == DeviceTenure.device_id)
        .outerjoin(written, written.c.device_id == DeviceTenure.device_id)
        .outerjoin(latest, latest.c.device_id == DeviceTenure.device_id)
        .outerjoin(with_holes, with_holes.c.device_id == DeviceTenure.device_id)
        .where(DeviceTenure.account_id == account_id)
    )
    uploads, by_hand = [], []
    found = rows.all()
    models = find_models(session, {row[0] for row in found})
    for name, *row in found:
        known = models.get(name)
        if known is not None and known.recorder == "person":
            by_hand.append(UsedByHand(row[0], row[1]))
        else:
            uploads.append(Upload(*row))
    return uploads, by_hand


def _models_used(session: Session, account_id: UUID) -> list[UsedByHand]:
    """Models of which the person wrote sessions down without a device: in use from the first on,
    until the person says that it is put away."""
    written = WrittenSession
    put_away = (
        select(func.max(Remark.said_of))
        .where(
            Remark.account_id == account_id,
            Remark.what == "put_away",
            Remark.model == written.model,
            Remark.deleted_at.is_(None),
        )
        .scalar_subquery()
    )
    rows = session.execute(
        select(func.min(written.started_at), func.max(written.started_at), put_away)
        .where(
            written.account_id == account_id,
            written.deleted_at.is_(None),
            written.model.is_not(None),
        )
        .group_by(written.model)
    )
    return [
        UsedByHand(first, until if until is not None and until > last else None)
        for first, last, until in rows
    ]


def _days_without_session(session: Session, account_id: UUID) -> frozenset[date]:
    rows = session.execute(
        select(Remark.said_of, Remark.time_zone).where(
            Remark.account_id == account_id,
            Remark.what == "no_session",
            Remark.deleted_at.is_(None),
        )
    )
    return frozenset(said_of.astimezone(ZoneInfo(zone)).date() for said_of, zone in rows)
