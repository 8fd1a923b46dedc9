"""The versions of a device's programme, as they are read: without the ORM, since apps read them
often."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import String, Uuid, bindparam, literal_column, select, union_all
from sqlalchemy.orm import Session

from cymba.database import Prepared, columns_of
from cymba.devices.tables import DeviceProgramme


class ProgrammeVersion(NamedTuple):
    """A version (`DeviceProgramme`), with the device's report."""

    ver: int
    account_id: UUID | None
    programme: dict[str, Any]
    limits: dict[str, Any]
    expires_at: datetime | None
    created_at: datetime
    published_at: datetime | None
    reported_at: datetime | None
    applied: bool | None
    code: str | None
    detail: str | None


_VERSION = columns_of(DeviceProgramme, ProgrammeVersion)
_OF_DEVICE = DeviceProgramme.device_id == bindparam("device_id", type_=String())
_OF_ACCOUNT = DeviceProgramme.account_id == bindparam("account_id", type_=Uuid())
_NEWEST_FIRST = DeviceProgramme.ver.desc()
_NEWEST = select(literal_column("false").label("is_held"), *_VERSION).where(_OF_DEVICE)
_HELD = select(literal_column("true"), *_VERSION).where(
    _OF_DEVICE, _OF_ACCOUNT, DeviceProgramme.applied.is_(True)
)
_NEWEST_AND_HELD = Prepared(
    union_all(*(one.order_by(_NEWEST_FIRST).limit(literal_column("1")) for one in (_NEWEST, _HELD)))
)


def newest_and_held(
    line: psycopg.Connection[Any], account_id: UUID, device_id: str
) -> tuple[ProgrammeVersion | None, ProgrammeVersion | None]:
    """The device's newest version, whoever set it, and the last of the account's that it said it
    applied."""
    rows = _NEWEST_AND_HELD.rows(line, account_id=account_id, device_id=device_id)
    versions = {is_held: ProgrammeVersion._make(row) for is_held, *row in rows}
    return versions.get(False), versions.get(True)


def versions_before(
    session: Session, account_id: UUID, device_id: str, before: int | None, limit: int
) -> list[ProgrammeVersion]:
    """The account's versions for the device below `before` (None: all), the newest first."""
    row = DeviceProgramme
    statement = select(*_VERSION).where(row.device_id == device_id, row.account_id == account_id)
    if before is not None:
        statement = statement.where(row.ver < before)
    rows = session.execute(statement.order_by(_NEWEST_FIRST).limit(limit))
    return list(map(ProgrammeVersion._make, rows))
