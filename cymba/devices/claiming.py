"""Claiming a device by serial and code, releasing it, and handing it on."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import String, any_, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from cymba.accounts import letters, rate_limiter
from cymba.accounts.audit import note_own
from cymba.accounts.changes import announce
from cymba.accounts.quotas import of_account
from cymba.accounts.tables import retired_claim_guesses
from cymba.database import Prepared
from cymba.devices.programme import clear_programme, withhold_current
from cymba.devices.provisioning import hash_claim_code, read_serial, reissue_claim_code
from cymba.devices.screening import lock_safety
from cymba.devices.tables import Device, DeviceTenure
from cymba.devices.withdrawal import ask_withdrawal
from cymba.errors import NotFound

ACCOUNT_GUESSES = rate_limiter.Bucket(capacity=10, leak_s=360)
"""A code has 50 bits: a million accounts that guess all day would need ten thousand years. So
guesses are not counted by serial, and strangers who guess do not lock out the person with the
code."""


class Claimed(NamedTuple):
    tenure: DeviceTenure
    is_new: bool = True  # else the account held it already


class NoMatch(NamedTuple):
    """No device has this serial and code. It is not shown which of the two is wrong."""


class ClaimThrottled(NamedTuple):
    retry_after_s: int


def claim(
    session: Session,
    account_id: UUID,
    serial: str,
    code: str,
    now: datetime,
    *,
    name: str = "",
    key: Ed25519PrivateKey | None = None,
) -> Claimed | NoMatch | ClaimThrottled:
    """Make the account the holder of the device that has this serial and claim code.

    The code is used up. A device that another account holds passes to this one: the code came from
    its holder or the operator (`hand_on`, `reissue_claim_code`). A version signed with `key`
    replaces an earlier holder's programme (`clear_programme`), and while a red flag stands it
    allows no current. Idempotent: a holder who claims again gets the same answer. The guess is
    counted before the code is checked, and given back if the code is right, so the caller commits
    in any case.
    """
    wait_s = rate_limiter.count(session, _guesses(account_id), now)
    if wait_s:
        return ClaimThrottled(wait_s)
    lock_safety(session, account_id)
    device = session.scalar(
        select(Device)
        .where(Device.serial == read_serial(serial))
        .with_for_update(key_share=True)  # does not block bridges that store the device's frames
        .execution_options(populate_existing=True)
    )
    known, device_id = (device.claim_code_hash, device.id) if device else (None, "")
    given = hash_claim_code(device_id, code)
    is_good = hmac.compare_digest(known or bytes(len(given)), given)
    held = _held(session, device_id)
    is_own = held is not None and held.account_id == account_id
    if device is None or not (is_good or is_own):
        return NoMatch()
    rate_limiter.take_back(session, _guesses(account_id))
    if is_good:
        device.claim_code_hash = None
    if held is not None and is_own:
        return Claimed(held, is_new=False)
    clear_programme(session, key, device, now)
    if held is not None and held.account_id is not None:
        held.released_at = max(now, held.claimed_at)
        held.version += 1
        ask_withdrawal(session, [device.id], now)
        announce(session, held.account_id, "device", device.id, deleted=True)
        session.flush()  # or the new tenure would meet the old one in the unique index
    tenure = DeviceTenure(device_id=device.id, account_id=account_id, name=name, claimed_at=now)
    session.add(tenure)
    announce(session, account_id, "device", device.id)
    note_own(session, account_id, "device.claimed", device=device.id)
    withhold_current(session, key, account_id, now)
    return Claimed(tenure)


def release(
    session: Session,
    account_id: UUID,
    device_id: str,
    now: datetime,
    *,
    key: Ed25519PrivateKey | None = None,
) -> None:
    """End the account's tenure; what was recorded during it stays the account's.

    A version signed with `key` replaces the account's programme. The device then waits for a code
    that the operator re-issues.

    Raises:
        NotFound: the account does not hold such a device.
    """
    held = _own(session, account_id, device_id)
    clear_programme(session, key, session.get_one(Device, device_id), now)
    ask_withdrawal(session, [device_id], now)
    held.released_at = max(now, held.claimed_at)
    held.version += 1
    announce(session, account_id, "device", device_id, deleted=True)
    note_own(session, account_id, "device.released", device=device_id)


def hand_on(session: Session, account_id: UUID, device_id: str) -> str:
    """A code by which another account may claim the device; until then this one holds it.

    Raises:
        NotFound: the account does not hold such a device.
    """
    _own(session, account_id, device_id)
    note_own(session, account_id, "device.handed_on", device=device_id)
    letters.notify(session, account_id, letters.HANDED_ON)
    return reissue_claim_code(session, device_id)


def withdraw_codes(session: Session, account_id: UUID) -> None:
    """Make all codes that hand on a device of the account invalid."""
    held = select(DeviceTenure.device_id).where(
        DeviceTenure.account_id == account_id, DeviceTenure.released_at.is_(None)
    )
    session.execute(update(Device).where(Device.id.in_(held)).values(claim_code_hash=None))


class HeldTenure(NamedTuple):
    """By whom, and from when to when; null: by one who was erased, and until now."""

    account_id: UUID | None
    claimed_at: datetime
    released_at: datetime | None


class Tenures(NamedTuple):
    """Everybody who held a device, in order."""

    of_device: Sequence[HeldTenure]

    def tenure_at(self, at: datetime) -> HeldTenure | None:
        """The tenure that `at` lies in, or else the next one."""
        for tenure in self.of_device:
            if tenure.released_at is None or at < tenure.released_at:
                return tenure
        return None

    def holder_at(self, at: datetime) -> UUID | None:
        """Who held it at `at`; where nobody did, who held it next."""
        tenure = self.tenure_at(at)
        return None if tenure is None else tenure.account_id

    def closed_at(self, at: datetime) -> datetime | None:
        """Until when the server must have known of what was recorded at `at`. None: no end.

        A tenure gets nothing that arrives after the device has gone to somebody else: the new
        holder could have made it, under any number, boot or session that the device knows.
        """
        tenure = self.tenure_at(at)
        return None if tenure is None or not self._is_closed(tenure) else tenure.released_at

    def closings(self) -> list[datetime]:
        """All times of `closed_at`, in order."""
        return sorted(
            tenure.released_at
            for tenure in self.of_device
            if tenure.released_at is not None and self._is_closed(tenure)
        )

    def _is_closed(self, tenure: HeldTenure) -> bool:
        after = self.of_device[self.of_device.index(tenure) + 1 :]
        return tenure.released_at is not None and any(
            one.account_id != tenure.account_id for one in after
        )

    def is_forgotten(self, at: datetime) -> bool:
        """Whether the holder at `at` was erased. What was recorded then belongs to nobody."""
        tenure = self.tenure_at(at)
        return tenure is not None and tenure.account_id is None


def load_tenures(line: psycopg.Connection[Any], device_id: str) -> Tenures:
    return load_many_tenures(line, [device_id])[device_id]


def load_many_tenures(
    line: psycopg.Connection[Any], device_ids: Collection[str]
) -> dict[str, Tenures]:
    found: dict[str, list[HeldTenure]] = {device_id: [] for device_id in device_ids}
    for device_id, *held in _TENURES.rows(line, device_ids=list(device_ids)):
        found[device_id].append(HeldTenure(*held))
    return {device_id: Tenures(tenures) for device_id, tenures in found.items()}


IN_TURN: Final = (DeviceTenure.claimed_at, DeviceTenure.released_at.nulls_last())
"""The order of `Tenures`."""
_TENURES = Prepared(
    select(
        DeviceTenure.device_id,
        DeviceTenure.account_id,
        DeviceTenure.claimed_at,
        DeviceTenure.released_at,
    )
    .where(DeviceTenure.device_id == any_(bindparam("device_ids", type_=ARRAY(String()))))
    .order_by(*IN_TURN)
)


def forget_guesses(session: Session, account_id: UUID) -> None:
    """Delete what an account has guessed as the version before counts it: it is erased."""
    retired = hashlib.sha256(f"account:{account_id}".encode()).digest()
    session.execute(delete(retired_claim_guesses).where(retired_claim_guesses.c.key == retired))


def _guesses(account_id: UUID) -> dict[bytes, rate_limiter.Bucket]:
    return {of_account(account_id) + rate_limiter.make_key("claim", ""): ACCOUNT_GUESSES}


def _own(session: Session, account_id: UUID, device_id: str) -> DeviceTenure:
    session.execute(select(Device.id).where(Device.id == device_id).with_for_update(key_share=True))
    held = _held(session, device_id)
    if held is None or held.account_id != account_id:
        raise NotFound("There is no such device.")
    return held


def _held(session: Session, device_id: str) -> DeviceTenure | None:
    """The present tenure. Lock the device's row first: claims and releases go one by one."""
    return session.scalar(
        select(DeviceTenure)
        .where(DeviceTenure.device_id == device_id, DeviceTenure.released_at.is_(None))
        .execution_options(populate_existing=True)
    )
