"""Who holds a device, or held it, and announcing its changes to its holder."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import one_of
from cymba.devices.tables import DeviceTenure


def holders_of(session: Session, device_ids: Iterable[str]) -> dict[str, str]:
    """The account that holds each of the devices now; unclaimed ones are left out."""
    rows = session.execute(
        select(DeviceTenure.device_id, DeviceTenure.account_id).where(
            one_of(DeviceTenure.device_id, device_ids), DeviceTenure.released_at.is_(None)
        )
    )
    return {device_id: str(account_id) for device_id, account_id in rows}


def ever_held(session: Session, account_id: UUID, device_id: str) -> bool:
    """Whether the account holds the device, or held it at any time."""
    tenure = exists().where(
        DeviceTenure.device_id == device_id, DeviceTenure.account_id == account_id
    )
    return bool(session.scalar(select(tenure)))


def announce_to_holders(session: Session, device_ids: Iterable[str]) -> None:
    """Announce that these devices have changed, to the apps of their holders."""
    for device_id, account_id in holders_of(session, set(device_ids)).items():
        announce(session, UUID(account_id), "device", device_id)
