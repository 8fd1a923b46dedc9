"""Giving a device its next version: its number, its signature, its place in the outbox."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import one_of
from cymba.devices.clocks import to_ms
from cymba.devices.held_devices import ReadDevice
from cymba.devices.messages import Desired, Programme
from cymba.devices.programme_versions import ProgrammeVersion
from cymba.devices.provisioning import tell_brokers
from cymba.devices.signing import sign
from cymba.devices.tables import CellMove, Device, DeviceProgramme, Restoration, UnknownVersion

SetBy = Literal["person", "trial", "red_flag"]

NUMBERED_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""A version's number is at least the seconds since then. So a database that was restored from a
backup gives higher numbers than any it has lost. The wire's uint32 lasts until 2156, and firmware
that keeps an int32 until 2088."""


def issue(
    session: Session,
    key: Ed25519PrivateKey | None,
    device: Device,
    wanted: tuple[Programme, Mapping[str, float], datetime | None],
    *,
    account_id: UUID | None,
    set_by: SetBy | None,
    now: datetime,
) -> DeviceProgramme:
    """Make `wanted` the device's next version. The device's row is locked (`lock_devices`).

    Raises:
        ValueError: there is no `key` to sign it with.
    """
    if key is None:
        raise ValueError("every programme is signed: a key is needed")
    programme, limits, expires_at = wanted
    desired = sign(
        key,
        device.id,
        Desired(
            ver=_next_number(session, device, now),
            programme=programme,
            limits=dict(limits),
            expires=None if expires_at is None else round(to_ms(expires_at)),
        ),
    )
    assert desired.signature is not None  # noqa: S101 - `sign` has just set it
    row = DeviceProgramme(
        device_id=device.id,
        ver=desired.ver,
        account_id=account_id,
        programme=msgspec.to_builtins(programme),
        limits=dict(limits),
        expires_at=expires_at,
        set_by=set_by,
        signature=desired.signature,
        created_at=now,
    )
    session.add(row)
    session.flush()
    # A device that moves may not come to the new broker before this version stands there.
    moves = update(CellMove).where(CellMove.device_id == device.id).values(ready_at=None)
    if session.scalar(moves.returning(CellMove.device_id)) is not None:
        tell_brokers(session)
    if account_id is not None:
        announce(session, account_id, "device", device.id)
    return row


def lock_devices(session: Session, device_ids: Sequence[str]) -> None:
    """Block claims and releases. Read who holds a device in a later statement: this one may wait
    for its lock and then still see the holder of before."""
    session.execute(
        select(Device.id)
        .where(one_of(Device.id, device_ids))
        .order_by(Device.id)
        .with_for_update(key_share=True)
    )


def lock_free_devices(session: Session, device_ids: Sequence[str]) -> set[str]:
    """Lock those of these devices that nobody else holds, and return them. It waits for nobody."""
    free = select(Device.id).where(one_of(Device.id, device_ids)).order_by(Device.id)
    return set(session.scalars(free.with_for_update(key_share=True, skip_locked=True)))


def newest_version(session: Session, device_id: str) -> DeviceProgramme | None:
    return session.scalar(
        select(DeviceProgramme)
        .where(DeviceProgramme.device_id == device_id)
        .order_by(DeviceProgramme.ver.desc())
        .limit(1)
    )


def latest_number(
    device: Device | ReadDevice, newest: DeviceProgramme | ProgrammeVersion | None
) -> int:
    """The number of the last version that was set here; 0 before the first."""
    return max(newest.ver if newest else 0, device.erased_ver)


def unknown_number(session: Session, device: Device) -> int:
    """What the device may hold although it was never set here, at most; or 0. That is the highest
    version that it reported as applied, and what was set between a backup and its restore."""
    row = UnknownVersion
    reported = session.scalar(select(row.held_ver).where(row.device_id == device.id))
    lost = session.scalar(
        select(func.max(Restoration.programmes_above)).where(
            Restoration.began_at >= device.created_at
        )
    )
    return max(reported or 0, lost or 0)


def clock_number(now: datetime) -> int:
    """The least that a version which is set now can be numbered."""
    return int((now - NUMBERED_SINCE).total_seconds())


def _next_number(session: Session, device: Device, now: datetime) -> int:
    """Above all that the device may hold, because it ignores lower ones (R40)."""
    latest = latest_number(device, newest_version(session, device.id))
    return max(max(latest, unknown_number(session, device)) + 1, clock_number(now))
