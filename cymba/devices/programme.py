"""A device's programme: what is desired, what the device reports, and its history.

The device is the safety boundary: it enforces its limits, and nothing here starts a session. The
server may narrow the limits of a device, never widen them past its model's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Select, case, or_, select, update
from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.database import line_of
from cymba.devices.catalogue import model_of
from cymba.devices.held_devices import ReadDevice, held_device
from cymba.devices.holders import announce_to_holders
from cymba.devices.issuing import (
    SetBy,
    issue,
    latest_number,
    lock_devices,
    newest_version,
    unknown_number,
)
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.models import (
    LIMIT_NAMES,
    Model,
    Violation,
    allows_no_output,
    narrowed,
    no_output_limit,
    usual_programme,
    violations,
    widened,
    without_output,
)
from cymba.devices.programme_versions import ProgrammeVersion, newest_and_held, versions_before
from cymba.devices.publication import publish_newer
from cymba.devices.screening import has_red_flag, standing_lock
from cymba.devices.tables import Device, DeviceProgramme, DeviceTenure, RefusedProgramme
from cymba.devices.unknown_versions import no_current, note_unknown, settle
from cymba.errors import DomainError, NotFound, PreconditionFailed, Rejected
from cymba.voice import said

# Why a device may refuse a version, in `up/state`; it may send others of its own.
REFUSAL_CODES: dict[str, str] = {
    "bad-signature": "the signature does not verify with the device's key",
    "beyond-limits": "the programme goes beyond the device's own limits or those sent with it",
    "expired": "the version had expired when it arrived",
    "unsupported": "the firmware cannot do what the programme asks for",
    "in-session": "a session is running; the device applies the version after it",
    "locked": "the device is locked by a fault of its own",
}

NO_REASON = "the device gives no reason"
CLOCKS_APART = timedelta(seconds=10)  # those of two bridges


class Wanted(NamedTuple):
    """What a person asks for; `limits` (`models.LIMIT_NAMES`) may only narrow."""

    programme: Programme
    limits: Mapping[str, float] = MappingProxyType({})
    expires_at: datetime | None = None

    @property
    def allows_no_output(self) -> bool:
        """Only a limit does: an amplitude or level of 0 leaves it to the person's titration."""
        return allows_no_output(self.limits)


class Accepted(NamedTuple):
    row: DeviceProgramme


class ProgrammeRefused(NamedTuple):
    """Nothing was sent. The attempt is kept: commit, then raise `error`."""

    error: DomainError


class ProgrammeState(NamedTuple):
    """`version` is the newest one's, 0 before the first: what `If-Match` must name.

    It does not show what an earlier holder set.
    """

    version: int
    desired: ProgrammeVersion | None
    held: ProgrammeVersion | None  # the last version that the device said it applied
    is_earlier_holders: bool = False  # the device has not reported a later version than theirs
    limits: Mapping[str, float] = MappingProxyType({})  # those of the newest version

    @property
    def in_step(self) -> bool:
        """Whether the device holds what is desired of it."""
        return self.held == self.desired and not self.is_earlier_holders


def set_programme(
    session: Session,
    key: Ed25519PrivateKey,
    account_id: UUID,
    device_id: str,
    wanted: Wanted,
    *,
    if_version: int,
    now: datetime,
    set_by: SetBy = "person",
) -> Accepted | ProgrammeRefused:
    """Make `wanted` the desired programme of a device that the account holds: its next version.

    A limit of no current is always possible; everything else needs a valid screening.

    Raises:
        NotFound: the account does not hold such a device.
        PreconditionFailed: the desired version is not `if_version`.
    """
    device = _held_device(session, account_id, device_id, lock=True)
    programme, limits, _ = wanted
    version = latest_number(device, newest_version(session, device_id))
    if version != if_version:
        raise PreconditionFailed(
            said(
                "The programme's version is {version}, not {if_version}.",
                version=version,
                if_version=if_version,
            )
        )
    model = model_of(session, device)
    error = _objection(model, wanted, now)
    if error is None and not wanted.allows_no_output:
        error = standing_lock(session, account_id, model, now)
    if error is not None:
        session.add(
            RefusedProgramme(
                device_id=device_id,
                account_id=account_id,
                programme=msgspec.to_builtins(programme),
                limits={name: limits[name] for name in LIMIT_NAMES if name in limits},
                code=error.code,
                detail=_details(error)[:500],
                refused_at=now,
            )
        )
        session.flush()
        return ProgrammeRefused(error)
    row = issue(session, key, device, wanted, account_id=account_id, set_by=set_by, now=now)
    note_own(session, account_id, "programme.set", device=device_id, version=row.ver)
    return Accepted(row)


def withhold_current(
    session: Session, key: Ed25519PrivateKey | None, account_id: UUID, now: datetime
) -> list[str]:
    """While a red flag stands, allow no current: each device's next version has a limit of 0.

    Returns the devices that got one; those whose desired version has that limit are left alone. The
    limit stays when the flag is lifted, until the person sets a programme again.
    """
    if not has_red_flag(session, account_id):
        return []
    held = _held_by(account_id)
    lock_devices(session, [device.id for device in session.scalars(held)])
    devices = session.scalars(held.execution_options(populate_existing=True)).all()
    withheld = []
    for device in devices:
        model = model_of(session, device)
        if not model.settable:
            continue
        desired = newest_version(session, device.id)
        programme, limits = usual_programme(model), {}
        if desired is not None and desired.account_id == account_id:
            if allows_no_output(desired.limits):
                continue
            programme, limits = msgspec.convert(desired.programme, Programme), desired.limits
        wanted = Wanted(without_output(programme), {**limits, **no_output_limit(model)})
        issue(session, key, device, wanted, account_id=account_id, set_by="red_flag", now=now)
        withheld.append(device.id)
    return withheld


def clear_programme(
    session: Session, key: Ed25519PrivateKey | None, device: Device, now: datetime
) -> None:
    """Replace what a holder set on a device that changes hands: the next version belongs to nobody,
    and allows no current until the next holder sets a programme.

    A device changes only to a higher version. A retained one reaches it whenever it comes online;
    an empty message would not. The device's row is locked.

    Raises:
        ValueError: there is something to replace, and no `key` to sign with.
    """
    desired = newest_version(session, device.id)
    highest = max(latest_number(device, desired), unknown_number(session, device))
    if highest == 0 or (desired and desired.account_id is None and desired.ver == highest):
        return
    issue(session, key, device, no_current(session, device), account_id=None, set_by=None, now=now)


def programme_state(session: Session, account_id: UUID, device_id: str) -> ProgrammeState:
    """The desired and the held programme of a device that the account holds.

    Raises:
        NotFound: the account does not hold such a device.
    """
    return programme_on(session, account_id, held_device(session, account_id, device_id).device)


def programme_on(session: Session, account_id: UUID, device: ReadDevice) -> ProgrammeState:
    """The same of a device that was read as held just now."""
    desired, held = newest_and_held(line_of(session), account_id, device.id)
    version = latest_number(device, desired)
    if desired is not None and desired.account_id is None:  # `clear_programme`
        return ProgrammeState(version, None, None, desired.applied is not True, desired.limits)
    if desired is not None and desired.account_id != account_id:
        return ProgrammeState(version, None, None, is_earlier_holders=True)
    return ProgrammeState(version, desired, held, limits=desired.limits if desired else {})


def programme_history(
    session: Session,
    account_id: UUID,
    device_id: str,
    before: int | None = None,
    limit: int = 50,
) -> list[ProgrammeVersion]:
    """The versions below `before`, newest first, of a device that the account holds.

    Those of an earlier holder are left out.

    Raises:
        NotFound: the account does not hold such a device.
    """
    _held_device(session, account_id, device_id)
    return versions_before(session, account_id, device_id, before, limit)


def refused_programmes(
    session: Session,
    account_id: UUID,
    device_id: str,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[RefusedProgramme]:
    """The account's refused programmes for a device, newest first, with ids below `before`.

    Raises:
        NotFound: the account does not hold such a device.
    """
    _held_device(session, account_id, device_id)
    row = RefusedProgramme
    statement = select(row).where(row.device_id == device_id, row.account_id == account_id)
    if before is not None:
        statement = statement.where(row.id < before)
    return session.scalars(statement.order_by(row.id.desc()).limit(limit)).all()


def record_report(
    session: Session, device_id: str, reported: ReportedState, at: datetime
) -> Literal["recorded", "late", "unknown-version"]:
    """Store a device's report of a version; a later report of the same version replaces it.

    Bridges note when a report came by clocks of their own. Of two that came so close together that
    these cannot tell, it is the later that the version was applied: a device refuses no version
    that it holds (R40).

    A device that reports a lower version than the newest is sent that again. After a version that
    was never set here, `answer_unknown` sends a newer one.
    """
    row = DeviceProgramme
    if reported.applied:
        known_by = case((row.applied.is_(True), at), else_=at + CLOCKS_APART)
    else:
        known_by = case((row.applied.is_(True), at - CLOCKS_APART), else_=at)
    recorded = session.scalar(
        update(row)
        .where(
            row.device_id == device_id,
            row.ver == reported.ver,
            or_(row.reported_at.is_(None), row.reported_at <= known_by),
        )
        .values(
            reported_at=at,
            applied=reported.applied,
            code=reported.code,
            detail=reported.detail,
        )
        .returning(row.ver)
    )
    if recorded is not None:
        if reported.applied:
            settle(session, device_id, reported.ver, at)
        publish_newer(session, device_id, reported.ver, at)
        announce_to_holders(session, [device_id])
        return "recorded"
    known = session.scalar(
        select(row.ver).where(row.device_id == device_id, row.ver == reported.ver)
    )
    erased_ver = session.scalar(select(Device.erased_ver).where(Device.id == device_id)) or 0
    if known is not None or reported.ver <= erased_ver:
        return "late"
    note_unknown(session, device_id, reported, at)
    announce_to_holders(session, [device_id])
    return "unknown-version"


def _objection(model: Model, wanted: Wanted, now: datetime) -> DomainError | None:
    programme, limits, expires_at = wanted
    if not model.settable:
        detail = said(
            "{title} takes no programme: nothing of it can be set from here.", title=model.titles
        )
        return Rejected(detail, code="no-programme-taken")
    too_wide = widened(model, limits)
    if too_wide:
        return _rejected(
            "limits-widened", said("These limits are not the model's."), "/limits", too_wide
        )
    beyond = violations(model, programme, narrowed(model, limits))
    if beyond:
        detail = said("The programme goes beyond the device's limits.")
        return _rejected("beyond-limits", detail, "/programme", beyond)
    if expires_at is not None and expires_at <= now:
        past = [Violation("expires_at", "is in the past")]
        return _rejected("expired", said("The programme would have expired."), "", past)
    return None


def _rejected(code: str, detail: str, parent: str, found: Sequence[Violation]) -> Rejected:
    errors = [{"pointer": f"{parent}/{one.field}", "detail": one.detail} for one in found]
    return Rejected(detail, code=code, errors=errors)


def _details(error: DomainError) -> str:
    each = "; ".join(f"{one['pointer']}: {one['detail']}" for one in error.errors)
    return f"{error.detail} {each}" if each else error.detail


def _held_device(
    session: Session, account_id: UUID, device_id: str, *, lock: bool = False
) -> Device:
    if lock:  # so that versions are numbered one by one
        lock_devices(session, [device_id])
    device = session.scalar(
        _held_by(account_id).where(Device.id == device_id).execution_options(populate_existing=True)
    )
    if device is None:
        raise NotFound("There is no such device.")
    return device


def _held_by(account_id: UUID) -> Select[Device]:
    return (
        select(Device)
        .join(DeviceTenure, DeviceTenure.device_id == Device.id)
        .where(DeviceTenure.account_id == account_id, DeviceTenure.released_at.is_(None))
        .order_by(Device.id)
    )
