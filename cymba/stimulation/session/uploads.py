"""The days of a person of which all sessions are here: devices show it by what they have uploaded,
and the person says it of all else.

So history and insights can distinguish "no session" from "not known yet".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from cymba.database import Prepared
from cymba.devices.catalogue import newest_document
from cymba.devices.models import MODELS
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

    def among(self, first_day: date, borders: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Of days from the first on, whether no session of each is missing: all that devices
        recorded is uploaded, and for all else the person said that there was none.

        False for a time in which the person used nothing, because nothing is known about it.
        `borders` are where the days begin, and where the last ends, in seconds since 1970.
        """
        begins, ends = borders[:-1], borders[1:]

        def in_use(one: Upload | UsedByHand) -> NDArray[np.bool_]:
            used = ends > one[0].timestamp()
            return used if one[1] is None else used & (begins < one[1].timestamp())

        by_hand, held, missing, without = np.zeros((4, begins.size), dtype=np.bool_)
        for used_by_hand in self.by_hand:
            by_hand |= in_use(used_by_hand)
        for upload in self.uploads:
            used = in_use(upload)
            held |= used
            until, released_at = upload.uploaded_until, upload.released_at
            if until is None:
                missing |= used
            elif released_at is None or until < released_at:
                missing |= used & (ends > until.timestamp())
        after = [(day - first_day).days for day in self.without_session]
        without[[at for at in after if 0 <= at < begins.size]] = True
        return (held | by_hand) & ~missing & (without | ~by_hand)


def load_complete_days(line: psycopg.Connection[Any], account_id: UUID) -> CompleteDays:
    return complete_days(_STATEMENT.rows(line, account_id=account_id))


def complete_days(rows: Iterable[Sequence[Any]]) -> CompleteDays:
    """Of the rows of `PARTS`."""
    uploads: list[Upload] = []
    by_hand: list[UsedByHand] = []
    without_session = set()
    for part, name, first, second, third, added_recorder in rows:
        if part == "held":
            known = MODELS.get(name)
            if (known.recorder if known else added_recorder) == "person":
                by_hand.append(UsedByHand(first, second))
            else:
                uploads.append(Upload(first, second, third))
        elif part == "model":
            is_put_away = third is not None and third > second
            by_hand.append(UsedByHand(first, third if is_put_away else None))
        else:
            without_session.add(first.astimezone(ZoneInfo(name)).date())
    return CompleteDays(uploads, by_hand, frozenset(without_session))


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())


def _held() -> Select[*tuple[Any, ...]]:
    """The devices that the person held: those that record, and those that do not.

    A device reports when its flash store was empty. If no number of its stores is missing,
    everything before its latest session is here too. If one is missing (live sessions are sent
    before the backlog, and a damaged flash leaves a hole for good), only its report counts."""
    session, written, tenure = StimulationSession, WrittenSession, DeviceTenure
    latest = (
        select(
            session.device_id,
            func.max(session.started_at).label("at"),
            func.min(session.started_at).label("first_at"),
        )
        .where(session.account_id == _ACCOUNT_ID, session.deleted_at.is_(None))
        .group_by(session.device_id)
        .subquery()
    )
    resolved = AckLedgerRow.resolved
    theirs = aliased(tenure)
    with_hole = (
        select(AckLedgerRow.device_id)
        .where(
            AckLedgerRow.device_id.in_(
                select(theirs.device_id).where(theirs.account_id == _ACCOUNT_ID)
            ),
            (func.int8multirange(func.range_merge(resolved)) != resolved)
            | (func.lower(resolved) > 1),
        )
        .group_by(AckLedgerRow.device_id)
        .subquery()
    )
    by_hand = (
        select(written.device_id, func.min(written.started_at).label("first_at"))
        .where(written.account_id == _ACCOUNT_ID, written.deleted_at.is_(None))
        .group_by(written.device_id)
        .subquery()
    )
    uploaded_to = case((with_hole.c.device_id.is_(None), latest.c.at))
    is_first = tenure.claimed_at == func.min(tenure.claimed_at).over(partition_by=tenure.device_id)
    began_at = func.least(tenure.claimed_at, latest.c.first_at, by_hand.c.first_at)
    return (
        select(
            literal_column("CAST('held' AS text)"),
            cast(Device.model, Text),
            case((is_first, began_at), else_=tenure.claimed_at),
            tenure.released_at,
            func.greatest(DevicePresence.drained_at, uploaded_to),
            newest_document(Device.model)["recorder"].astext,
        )
        .join(Device, Device.id == tenure.device_id)
        .outerjoin(DevicePresence, DevicePresence.device_id == tenure.device_id)
        .outerjoin(by_hand, by_hand.c.device_id == tenure.device_id)
        .outerjoin(latest, latest.c.device_id == tenure.device_id)
        .outerjoin(with_hole, with_hole.c.device_id == tenure.device_id)
        .where(tenure.account_id == _ACCOUNT_ID)
    )


def _models_used() -> Select[*tuple[Any, ...]]:
    """Models of which the person wrote sessions down without a device: in use from the first on,
    until the person says that it is put away."""
    written = WrittenSession
    put_away = (
        select(func.max(Remark.said_of))
        .where(
            Remark.account_id == _ACCOUNT_ID,
            Remark.what == literal_column("'put_away'"),
            Remark.model == written.model,
            Remark.deleted_at.is_(None),
        )
        .scalar_subquery()
    )
    return (
        select(
            literal_column("'model'"),
            cast(written.model, Text),
            func.min(written.started_at),
            func.max(written.started_at),
            put_away,
            literal_column("NULL"),
        )
        .where(
            written.account_id == _ACCOUNT_ID,
            written.deleted_at.is_(None),
            written.model.is_not(None),
        )
        .group_by(written.model)
    )


def _days_without_session() -> Select[*tuple[Any, ...]]:
    nothing: ColumnElement[Any] = literal_column("NULL")
    return select(
        literal_column("'none'"), cast(Remark.time_zone, Text), Remark.said_of, nothing, nothing,
        nothing,
    ).where(
        Remark.account_id == _ACCOUNT_ID,
        Remark.what == literal_column("'no_session'"),
        Remark.deleted_at.is_(None),
    )  # fmt: skip


PARTS = (_held(), _models_used(), _days_without_session())
"""The parts of the statement. One that reads more has them too, and gives `complete_days` their
rows."""
_STATEMENT = Prepared(union_all(*PARTS))
