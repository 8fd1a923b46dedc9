"""What a backup that was restored is not to be believed in, and how that is put right.

It still holds who was erased since, takes tokens and shares that were ended since, and does not
know which programmes devices hold. Each step is small transactions that may be repeated, and does
no harm where it was done before. So whoever was interrupted begins anew, and goes on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from cymba.accounts import single_use
from cymba.accounts.audit import Actor, note
from cymba.accounts.tables import RefreshToken, Share, SingleUseToken
from cymba.devices.issuing import clock_number
from cymba.devices.tables import DevicePresence, Restoration
from cymba.stimulation.tables import SessionExtent, StimulationSession
from cymba.sync.feed import renew_epoch

CLOCK_AHEAD = timedelta(days=1)
"""A server's clock may have run ahead by so much when it numbered a version that is lost."""
AT_ONCE = 50_000


def begin(session: Session, now: datetime) -> Restoration:
    """Begin, or go on with what was interrupted. From then on every app reads everything again,
    and programmes are numbered above what a device may hold."""
    row = Restoration
    under_way = session.scalar(
        select(row).where(row.finished_at.is_(None)).order_by(row.id.desc()).with_for_update()
    )
    if under_way is not None:
        return under_way
    begun = row(began_at=now, programmes_above=max(0, clock_number(now + CLOCK_AHEAD)))
    session.add(begun)
    renew_epoch(session)
    session.flush()
    return begun


def finish(session: Session, now: datetime) -> None:
    session.execute(
        update(Restoration).where(Restoration.finished_at.is_(None)).values(finished_at=now)
    )


def end_sign_ins(session: Session, before: datetime, now: datetime) -> int:
    """End some of the sign-ins that the backup holds, with the codes that were sent; how many."""
    token = RefreshToken
    some = (
        select(token.id).where(token.revoked_at.is_(None), token.created_at < before).limit(AT_ONCE)
    )
    ended = session.execute(
        update(token).where(token.id.in_(some)).values(revoked_at=now).returning(token.id)
    ).all()
    codes = SingleUseToken.expires_at < before + single_use.LIFETIME
    session.execute(delete(SingleUseToken).where(codes))
    return len(ended)


def end_shares(session: Session, before: datetime, now: datetime) -> int:
    """End some of the shares that the backup holds; how many."""
    some = (
        select(Share.id).where(Share.revoked_at.is_(None), Share.created_at < before).limit(AT_ONCE)
    )
    ended = session.execute(
        update(Share)
        .where(Share.id.in_(some))
        .values(revoked_at=now)
        .returning(Share.id, Share.account_id)
    ).all()
    for share_id, account_id in ended:
        by = Actor("system", "restore")
        note(session, account_id, by, "share.revoked", share=str(share_id))
    return len(ended)


def were_sending(session: Session, limit: int = 1_000) -> Sequence[str]:
    """Devices that were online, or in a session, at the time of the backup: what they sent from
    then on was acknowledged, and is lost."""
    online = select(DevicePresence.device_id).where(DevicePresence.online)
    row, extent = StimulationSession, SessionExtent
    in_session = select(row.device_id).where(row.state == "open")
    not_summarised = select(extent.device_id).where(extent.dirty)
    sending = online.union(in_session, not_summarised).order_by("device_id")
    return session.scalars(sending.limit(limit)).all()


class Gap(NamedTuple):
    device_id: str
    frames: int


def gaps(session: Session) -> list[Gap]:
    """Devices that have passed over numbers of their frames, and how many. A device frees a frame
    once it is acknowledged, so what was stored after the backup was made does not come again."""
    return [Gap(*row) for row in session.execute(_GAPS)]


_GAPS = text(
    """
    SELECT device_id, CAST(sum(missing) AS bigint)
    FROM (SELECT f.device_id,
                 upper(f.resolved) - 1 - (SELECT sum(upper(r) - lower(r))
                                          FROM unnest(f.resolved) AS r) AS missing
          FROM flash_store AS f WHERE NOT isempty(f.resolved)) AS stores
    WHERE missing > 0 GROUP BY device_id ORDER BY device_id
    """
)
