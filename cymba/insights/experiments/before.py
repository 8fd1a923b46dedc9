"""What a device had before a trial: offered to its person wherever the trial left it otherwise.

A trial holds a device down in half of its blocks, and may end in one of them in any way: stopped,
over, left alone, handed on. The server raises no limit by itself. So from the end of the block
that was last agreed to, the person is shown and offered what was there before, until the device
holds it, they have set something else, or they have said that it is to stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import ColumnElement, Uuid, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import Prepared, line_of
from cymba.devices.held_devices import held_device
from cymba.devices.messages import Programme
from cymba.devices.models import Model, narrowed
from cymba.devices.programme import (
    Accepted,
    ProgrammeRefused,
    ProgrammeState,
    Wanted,
    programme_state,
    set_programme,
)
from cymba.devices.programme_versions import ProgrammeVersion
from cymba.devices.tables import DeviceProgramme
from cymba.errors import Conflict, NotFound
from cymba.insights.experiments import arms, plans
from cymba.insights.tables import Experiment, ExperimentBlock

KIND: Final = "experiment"
State = Literal["offered", "sent"]


@dataclass(frozen=True, slots=True)
class BeforeTrial:
    """`offered`: the person is asked. `sent`: they have agreed or set something else, and the
    device has not said yet that it took it."""

    experiment: Experiment
    model: Model
    state: State
    wanted: Wanted  # the programme and limits from before the trial
    now: Wanted | None  # those that the device is to hold now; None: nobody's, without a current

    def ceiling_ua(self, of: Wanted) -> float:
        """The most current that a session may have under it."""
        return arms.ceiling_ua(narrowed(self.model, of.limits), of.programme)


def standing(session: Session, account_id: UUID, *, now: datetime) -> dict[str, BeforeTrial]:
    """By device, what its person is offered. Of several trials of a device the latest decides."""
    if not _HAS_TRIAL.rows(line_of(session), account_id=account_id):
        return {}
    query = (
        select(Experiment, ExperimentBlock)
        .join(ExperimentBlock, ExperimentBlock.experiment_id == Experiment.id)
        .where(Experiment.account_id == account_id)
        .ext(distinct_on(Experiment.device_id))
        .order_by(Experiment.device_id, Experiment.sealed_at.desc(), ExperimentBlock.number.desc())
    )
    found = {}
    for experiment, last in session.execute(query):
        left = _standing_of(session, experiment, last, now)
        if left is not None:
            found[experiment.device_id] = left
    return found


# Of most people there is none.
_HAS_TRIAL = Prepared(
    select(Experiment.id)
    .where(Experiment.account_id == bindparam("account_id", type_=Uuid()))
    .limit(literal_column("1"))
)


def starting_point(
    session: Session, account_id: UUID, device_id: str, state: ProgrammeState, *, now: datetime
) -> Wanted | None:
    """What a new trial keeps in its full blocks: what was before an earlier one while that is
    offered, else what the device is to hold. None: nothing."""
    left = standing(session, account_id, now=now).get(device_id)
    if left is not None and left.state == "offered":
        return left.wanted
    return None if state.desired is None else _wanted(state.desired)


def set_back(
    session: Session, key: Ed25519PrivateKey, experiment: Experiment, *, now: datetime
) -> Accepted | ProgrammeRefused:
    """The person agrees to what was before: it goes to the device as every change does.

    Raises:
        Conflict: it is not offered.
    """
    left = _offered(session, experiment, now)
    version = programme_state(session, experiment.account_id, experiment.device_id).version
    outcome = set_programme(
        session,
        key,
        experiment.account_id,
        experiment.device_id,
        left.wanted,
        if_version=version,
        now=now,
    )
    if isinstance(outcome, Accepted):
        experiment.version += 1
        session.flush()
        announce(session, experiment.account_id, KIND, experiment.id)
    return outcome


def decline(session: Session, experiment: Experiment, *, now: datetime) -> None:
    """The device is to stay as it is.

    Raises:
        Conflict: nothing is offered.
    """
    _offered(session, experiment, now)
    experiment.declined_at = now
    experiment.version += 1
    session.flush()
    announce(session, experiment.account_id, KIND, experiment.id)
    announce(session, experiment.account_id, "device", experiment.device_id)


def _offered(session: Session, experiment: Experiment, now: datetime) -> BeforeTrial:
    left = standing(session, experiment.account_id, now=now).get(experiment.device_id)
    if left is None or left.state != "offered" or left.experiment.id != experiment.id:
        raise Conflict(
            "The device is not held at what this trial set: there is nothing to set back.",
            code="nothing-to-set-back",
        )
    return left


def _standing_of(
    session: Session, experiment: Experiment, last: ExperimentBlock, now: datetime
) -> BeforeTrial | None:
    if experiment.declined_at is not None:
        return None
    zone = ZoneInfo(experiment.time_zone)
    ends_at = plans.block_of(experiment, last.number).ends_at(zone)
    if experiment.status == "running" and now < ends_at:
        return None  # as agreed to
    try:
        held_by_person = held_device(session, experiment.account_id, experiment.device_id)
    except NotFound:
        return None  # not theirs now; once it is again, this is offered again
    state = programme_state(session, experiment.account_id, experiment.device_id)
    model = held_by_person.model
    desired, held, before = state.desired, state.held, experiment.plan["arms"]["full"]
    wanted = Wanted(msgspec.convert(before["programme"], Programme), before["limits"])
    oldest = last.programme_version if held is None else min(held.ver, last.programme_version)
    chosen = _chosen(session, experiment, since=oldest)
    answers = [row for row in chosen if row.ver > last.programme_version]
    if desired is None or not (_is(desired, before) or answers):
        held_now = None if desired is None else _wanted(desired)
        return BeforeTrial(experiment, model, "offered", wanted, held_now)
    is_over = any(row.applied for row in answers)
    theirs = {desired.ver, *(row.ver for row in chosen)}
    if is_over or held is None or held.ver in theirs or _is(held, before):
        return None
    return BeforeTrial(experiment, model, "sent", wanted, _wanted(desired))


def _is(row: ProgrammeVersion, arm: Mapping[str, Any]) -> bool:
    return bool(row.programme == arm["programme"] and row.limits == arm["limits"])


def _wanted(row: ProgrammeVersion) -> Wanted:
    return Wanted(msgspec.convert(row.programme, Programme), row.limits, row.expires_at)


def _chosen(session: Session, experiment: Experiment, *, since: int) -> list[DeviceProgramme]:
    """The versions from `since` on that the person set by themselves."""
    row = DeviceProgramme
    of_blocks = (
        select(ExperimentBlock.programme_version)
        .join(Experiment, Experiment.id == ExperimentBlock.experiment_id)
        .where(
            Experiment.account_id == experiment.account_id,
            Experiment.device_id == experiment.device_id,
            ExperimentBlock.programme_version.is_not(None),
        )
    )
    # From before it was kept who set a version: one without a current may be a red flag's.
    limit: ColumnElement[Any] = row.limits["amplitude_ua"].as_float()
    may_be_theirs = (
        row.set_by.is_(None) & row.ver.not_in(of_blocks) & (func.coalesce(limit, -1) != 0)
    )
    query = select(row).where(
        row.device_id == experiment.device_id,
        row.account_id == experiment.account_id,
        row.ver >= since,
        (row.set_by == "person") | may_be_theirs,
    )
    return list(session.scalars(query))
