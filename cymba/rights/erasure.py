"""Erasing a person: every row listed in `personal_data`, and all else that could identify them.

What stays names nobody. Devices stay in the inventory, free for the next holder. A device may still
send what it recorded in the person's time. So an unnamed tenure stays, and for each flash store the
clock anchors of the last boot. By these the session worker recognises such frames and erases them.
The ack ledgers stay too, so that the device gets its acks and frees its frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cymba.accounts import quotas, throttle
from cymba.accounts.keys import throttle_key
from cymba.accounts.tables import Account, Share
from cymba.devices.claiming import forget_guesses
from cymba.devices.held_devices import forget_holder
from cymba.devices.tables import Device, DeviceProgramme, DeviceTenure
from cymba.devices.withdrawal import ask_withdrawal
from cymba.distribution import PLACES
from cymba.errors import NotFound
from cymba.insights.tables import Experiment, ExperimentBlock
from cymba.parts import Part, lies_in_parts, of_part, one_after_the_other, parts
from cymba.rights.personal_data import PERSONAL_TABLES, mails_of
from cymba.rights.pseudonym import ledger_key, pseudonym
from cymba.stimulation.archive.erasure import erase_sums
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.ledgers import StoreKey, lock_ledgers
from cymba.stimulation.session.summarising import erase_forgotten
from cymba.stimulation.tables import AckLedgerRow, StimulationSession

# Rows that go with the account's own, by reference, where a function of the database deletes that
# (`accounts.audit_guard`). On several nodes only one user may change or lock what lies together in
# a transaction, so this role does neither with what lies by account.
_WITH_ACCOUNT = frozenset(name for name, place in PLACES.items() if place.group == "account")


@dataclass(frozen=True, slots=True)
class ErasureKeys:
    """The keys of the hashes by which a person is found in some tables."""

    ledger: bytes  # pseudonym.ledger_key
    throttle: bytes  # keys.throttle_key

    @classmethod
    def of(cls, secret: bytes) -> "ErasureKeys":
        return cls(ledger_key(secret), throttle_key(secret))


@dataclass(slots=True)
class Erased:
    """What an erasure removed, valid once the caller commits."""

    pseudonym: bytes
    devices: int  # that the account held; they stay, and are free
    rows: dict[str, int] = field(default_factory=dict)


class LockedAccount(NamedTuple):
    """An account with what is locked of it until the transaction ends."""

    account_id: UUID
    session_ids: Sequence[UUID]
    device_ids: Sequence[str]  # earlier ones too


def erase(session: Session, keys: ErasureKeys, account_id: UUID, *, now: datetime) -> Erased:
    """Erase an account everywhere in the database, and enter its pseudonym in the ledger.

    The broker's retained messages are withdrawn after the commit (`devices.withdrawal`).

    Raises:
        NotFound: there is no such account.
    """
    return erase_locked(session, keys, lock(session, account_id), now=now)


def erase_locked(
    session: Session, keys: ErasureKeys, locked: LockedAccount, *, now: datetime
) -> Erased:
    """`erase`, of what this transaction has locked."""
    account_id, session_ids, device_ids = locked
    account = session.get_one(Account, account_id)
    email, email_key = account.email, account.email_key
    session.expunge_all()
    erased = Erased(pseudonym(keys.ledger, account_id), len(device_ids))
    of_account = {"account_id": account_id}
    erased.rows["quarantine"] = _count(session, _LATE_QUARANTINE, of_account)
    erased.rows["clock_anchor"] = _count(session, _ANCHORS, of_account)
    erased.rows["device_programme"] = _erase_programmes(session, account_id)
    erase_sums(session, session_ids)
    of_whole = _whose_of_whole(session, account_id, email)
    for holding in reversed(PERSONAL_TABLES):
        if not holding.erased:
            continue
        whose = of_whole.get(holding.name, holding.whose(account_id))
        if holding.name in _WITH_ACCOUNT:
            there = select(func.count()).select_from(holding.table).where(whose)
            count = session.scalars(there).one()
        else:
            removed = session.execute(delete(holding.table).where(whose))
            count = int(removed.rowcount)  # type: ignore[attr-defined] # of a DELETE
        erased.rows[holding.name] = erased.rows.get(holding.name, 0) + count
    forget_holder(session, account_id, now)
    _erase_unsummed(session, device_ids)
    ask_withdrawal(session, device_ids, now)
    throttle.forget(session, keys.throttle, email)
    forget_guesses(session, account_id)
    quotas.forget(session, account_id)
    if email_key is not None:
        _close_shares_to(session, email_key, now)
    rows_erased = {name: count for name, count in erased.rows.items() if count}
    session.execute(
        select(func.erase_account(account_id, erased.pseudonym, cast(rows_erased, JSONB)))
    )
    return erased


def lock(session: Session, account_id: UUID) -> LockedAccount:
    """Lock what others write for the account, in the order of session workers and views: sessions,
    devices, ledgers, the account.

    Raises:
        NotFound: there is no such account.
    """
    one_after_the_other(session)
    session_ids: list[UUID] = []
    for part in _parts_of_sessions(session, account_id):
        of_these = {"account_id": account_id, "part": part}
        session_ids += session.scalars(_LOCK_SESSIONS, of_these)
    held = select(DeviceTenure.device_id).where(DeviceTenure.account_id == account_id)
    device_ids = session.scalars(
        select(Device.id)
        .where(Device.id.in_(held))
        .order_by(Device.id)
        .with_for_update(key_share=True)
    ).all()
    stores = session.execute(
        select(AckLedgerRow.device_id, AckLedgerRow.store).where(
            AckLedgerRow.device_id.in_(device_ids)
        )
    ).all()
    for part in parts(session, {device_id for device_id, _ in stores}):
        keys = [StoreKey(*one) for one in stores if part is None or one.device_id in part]
        lock_ledgers(session, keys)
    session.execute(select(func.lock_account(account_id)))
    if session.get(Account, account_id, populate_existing=True) is None:
        raise NotFound("There is no account with this id.")
    return LockedAccount(account_id, session_ids, device_ids)


def _parts_of_sessions(session: Session, account_id: UUID) -> list[Part[str]]:
    if not lies_in_parts(session):
        return [None]
    row = StimulationSession
    devices = select(row.device_id).where(row.account_id == account_id).distinct()
    return parts(session, session.scalars(devices))


def _whose_of_whole(
    session: Session, account_id: UUID, email: str
) -> dict[str, ColumnElement[bool]]:
    """As `whose` of tables that are whole on every node: a statement that changes one reads of no
    table that lies in parts."""
    trials = session.scalars(select(Experiment.id).where(Experiment.account_id == account_id))
    return {
        "experiment_block": ExperimentBlock.experiment_id.in_(trials.all()),
        "outgoing_mail": mails_of(account_id, func.lower(email)),
    }


def _erase_programmes(session: Session, account_id: UUID) -> int:
    """Delete the account's programmes. Their numbers stay used, because a device ignores a version
    that is not above the one it holds."""
    row = DeviceProgramme
    removed = session.execute(
        delete(row).where(row.account_id == account_id).returning(row.device_id, row.ver)
    ).all()
    used: dict[str, int] = {}
    for device_id, ver in removed:
        used[device_id] = max(ver, used.get(device_id, 0))
    session.execute(_KEEP_USED, {"devices": list(used), "vers": list(used.values())})
    return len(removed)


def _erase_unsummed(session: Session, device_ids: Sequence[str]) -> None:
    """Erase sessions that no session worker has assigned yet. They belong to an unnamed tenure by
    now. A worker that has one at the moment erases it itself."""
    rows = session.execute(_UNSUMMED, {"devices": device_ids})
    erase_forgotten(session, [SessionKey(*row) for row in rows])


def _close_shares_to(session: Session, email_key: str, now: datetime) -> None:
    """End the shares that others gave to this person as a clinician, and remove the address."""
    session.execute(
        update(Share)
        .where(Share.clinician_email == email_key)
        .values(clinician_email=None, revoked_at=func.coalesce(Share.revoked_at, now))
    )


def _count(session: Session, statement: TextClause, values: Mapping[str, object]) -> int:
    """How many rows a statement that returns what it deletes has deleted."""
    return len(session.execute(statement, values).all())


_LOCK_SESSIONS = text(
    f"""
    SELECT s.id FROM stimulation_session AS s
    WHERE s.account_id = :account_id AND {of_part("s.device_id")} ORDER BY s.id FOR UPDATE
    """  # noqa: S608 - a constant
)
_KEEP_USED = text(
    """
    UPDATE device AS d SET erased_ver = greatest(d.erased_ver, u.ver)
    FROM unnest(CAST(:devices AS text[]), CAST(:vers AS bigint[])) AS u (device_id, ver)
    WHERE d.id = u.device_id
    """
)
# Frames that arrived after the person's tenure but name one of its sessions.
_LATE_QUARANTINE = text(
    """
    DELETE FROM quarantine AS q USING (
      SELECT DISTINCT l.device_id, l.id
      FROM device_tenure AS t
      JOIN quarantine AS l ON l.device_id = t.device_id AND l.received_at >= t.released_at
      JOIN stimulation_session AS s ON s.device_id = l.device_id AND s.account_id = :account_id
      WHERE t.account_id = :account_id
        AND (position(convert_to(CAST(s.sid AS text), 'UTF8') IN l.payload) > 0
             OR position(uuid_send(s.sid) IN l.payload) > 0)) AS of_session
    WHERE q.device_id = of_session.device_id AND q.id = of_session.id
    RETURNING q.id
    """
)
# All of the person's boots in a store but the last anchored one.
_ANCHORS = text(
    """
    WITH seen AS (
      SELECT a.device_id, a.store, a.boot, max(a.boot) OVER (PARTITION BY a.device_id, a.store)
               AS last_boot
      FROM clock_anchor AS a
      JOIN device_tenure AS t ON t.device_id = a.device_id AND t.account_id = :account_id
       AND a.wall_at >= t.claimed_at AND (t.released_at IS NULL OR a.wall_at < t.released_at))
    DELETE FROM clock_anchor AS a
    USING (SELECT DISTINCT device_id, store, boot FROM seen WHERE boot < last_boot) AS gone
    WHERE a.device_id = gone.device_id AND a.store = gone.store AND a.boot = gone.boot
    RETURNING a.boot
    """
)
_UNSUMMED = text(
    """
    SELECT DISTINCT e.device_id, e.sid
    FROM session_extent AS e
    LEFT JOIN stimulation_session AS s ON s.device_id = e.device_id AND s.sid = e.sid
    WHERE e.device_id = ANY (CAST(:devices AS text[])) AND e.dirty AND s.id IS NULL
    """
)
