"""A trial's life: made and sealed, a programme for each block if the person agrees, an end."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.changes import announce
from cymba.accounts.tables import Account
from cymba.database import line_of
from cymba.devices.held_devices import held_device
from cymba.devices.messages import Programme
from cymba.devices.programme import (
    Accepted,
    ProgrammeRefused,
    Wanted,
    programme_state,
    set_programme,
)
from cymba.errors import Conflict, NotFound, Rejected
from cymba.insights.days import local_day
from cymba.insights.experiments import arms, before, plans, preview, ratings, results
from cymba.insights.experiments.before import KIND
from cymba.insights.experiments.plans import Block, all_blocks, block_of
from cymba.insights.inputs import load_days, session_facts
from cymba.insights.tables import Experiment, ExperimentBlock, InsightState
from cymba.voice import said

MAX_PAIRS = 40
TRIED_EXPOSURE = "charge"  # whose finding a trial of either arm grades
AGREE_AHEAD = timedelta(hours=12)  # before a block begins, its programme can be agreed to
RATINGS_SETTLE = timedelta(days=2)  # after the last block: its last morning, and a late upload
DEVICE_GONE = "The device was let go or handed on"


def begin(
    session: Session,
    account_id: UUID,
    *,
    device_id: str,
    outcome: str,
    pairs: int,
    block_days: int,
    comparison_amplitude_ua: int,
    now: datetime,
) -> Experiment:
    """Plan a trial from tomorrow on, draw its coin and seal both.

    In full blocks the device keeps the programme it has now, or had before an earlier trial that
    left it otherwise; in comparison blocks its current is limited to `comparison_amplitude_ua`
    (0: off).

    Raises:
        Forbidden: the person has not agreed to insights.
        NotFound: the account does not hold such a device.
        Rejected: the outcome has no trials, the pairs are too few, the device has no programme to
            keep or one with an end date, or the arms could not differ.
        Conflict: another trial is running.
    """
    consent.require(line_of(session), account_id, "insights")
    ratings.check_outcome(outcome)
    least = preview.least_pairs(block_days)
    if pairs < least:
        raise Rejected(
            "So few pairs of so short blocks would be lost to mornings without a rating.",
            code="validation",
            errors=[{"pointer": "/pairs", "detail": said("must be at least {least}", least=least)}],
        )
    state = programme_state(session, account_id, device_id)
    planned_arms = arms.arms(
        held_device(session, account_id, device_id).model,
        before.starting_point(session, account_id, device_id, state, now=now),
        comparison_amplitude_ua,
        taken_ua=arms.recent_currents_ua(session, account_id, device_id),
    )
    if running(session, account_id) is not None:
        raise Conflict("A trial is running already.", code="experiment-running")
    zone = session.get_one(Account, account_id).time_zone
    first_day = local_day(now.astimezone(ZoneInfo(zone))) + timedelta(days=1)
    plan = {
        "outcome": outcome,
        "device_id": device_id,
        "pairs": pairs,
        "block_days": block_days,
        "first_day": first_day.isoformat(),
        "time_zone": zone,
        "arms": planned_arms,
        "test": "randomisation over pairs, two-sided, 0.05, by the blocks as planned",
    }
    seed = plans.new_seed()
    experiment = Experiment(
        id=uuid4(),
        account_id=account_id,
        device_id=device_id,
        outcome=outcome,
        pairs=pairs,
        block_days=block_days,
        first_day=first_day,
        time_zone=zone,
        plan=plan,
        seal=plans.seal(seed, plan),
        seed=seed,
        sealed_at=now,
    )
    experiment.due_at = _next_due(experiment, now)
    session.add(experiment)
    session.flush()
    announce(session, account_id, KIND, experiment.id)
    return experiment


def agree(
    session: Session,
    key: Ed25519PrivateKey,
    experiment: Experiment,
    number: int,
    *,
    now: datetime,
) -> ExperimentBlock | ProgrammeRefused:
    """The person agrees to a block's programme, and it goes to the device.

    Raises:
        Rejected: it is not this block's time.
        Conflict: the trial has ended.
    """
    if experiment.status != "running":
        raise Conflict("The trial has ended.", code="experiment-ended")
    block = block_of(experiment, number)
    zone = ZoneInfo(experiment.time_zone)
    if not block.begins_at(zone) - AGREE_AHEAD <= now < block.ends_at(zone):
        raise Rejected(
            "A block's programme is agreed to from twelve hours before it begins until it ends.",
            code="not-this-blocks-time",
        )
    known = session.get(ExperimentBlock, (experiment.id, number))
    if known is not None:
        return known
    outcome = set_programme(
        session,
        key,
        experiment.account_id,
        experiment.device_id,
        _wanted(experiment, block),
        if_version=programme_state(session, experiment.account_id, experiment.device_id).version,
        now=now,
        set_by="trial",
    )
    if isinstance(outcome, ProgrammeRefused):
        return outcome
    assert isinstance(outcome, Accepted)  # noqa: S101 - there is no third
    agreed = ExperimentBlock(
        experiment_id=experiment.id,
        number=number,
        agreed_at=now,
        programme_version=outcome.row.ver,
    )
    session.add(agreed)
    experiment.declined_at = None  # it was of what an earlier block had left
    experiment.version += 1
    session.flush()
    announce(session, experiment.account_id, KIND, experiment.id)
    return agreed


def stop(session: Session, experiment: Experiment, *, reason: str, now: datetime) -> None:
    """End a trial before its time. The result rests on the pairs that were completed, and says so;
    ended early because of what the ratings look like, its p means little, and it says that too.

    Raises:
        Conflict: the trial has ended already.
    """
    if experiment.status != "running":
        raise Conflict("The trial has ended.", code="experiment-ended")
    _stop(session, experiment, reason=reason, now=now)
    _announce_device(session, experiment, now)


def accounts_due(
    session: Session, *, now: datetime, limit: int = 100, but: Collection[UUID] = ()
) -> list[UUID]:
    """Accounts with a trial of which a block has ended since it was last looked at, those that
    waited longest first. An account has one trial, and is due again with its next block."""
    query = select(Experiment.account_id).where(
        Experiment.status == "running",
        Experiment.due_at <= now,
        Experiment.account_id.not_in(but),
    )
    return list(session.scalars(query.order_by(Experiment.due_at).limit(limit)))


def advance(session: Session, account_id: UUID, *, now: datetime) -> bool:
    """Finish the account's trial if its last ratings are in, stop it if its device has another
    holder. Whether the app hears of it: that a device is held down by a block that is over.
    """
    experiment = session.scalar(
        select(Experiment)
        .where(
            Experiment.account_id == account_id,
            Experiment.status == "running",
            Experiment.due_at <= now,
        )
        .with_for_update(skip_locked=True)
    )
    if experiment is None:
        return False
    try:
        held_device(session, account_id, experiment.device_id)
    except NotFound:
        _stop(session, experiment, reason=DEVICE_GONE, now=now)
        return False
    if now >= _settles_at(experiment):
        _end(session, experiment, "finished", completed_pairs=experiment.pairs, now=now)
    else:
        experiment.due_at = _next_due(experiment, now)
    return _announce_device(session, experiment, now)


def mine(session: Session, account_id: UUID) -> list[Experiment]:
    query = select(Experiment).where(Experiment.account_id == account_id)
    return list(session.scalars(query.order_by(Experiment.sealed_at.desc(), Experiment.id)))


def get(
    session: Session, account_id: UUID, experiment_id: UUID, *, lock: bool = False
) -> Experiment:
    """The account's own trial, or `NotFound`."""
    query = select(Experiment).where(
        Experiment.account_id == account_id, Experiment.id == experiment_id
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    experiment = session.scalar(query)
    if experiment is None:
        raise NotFound("There is no such trial.")
    return experiment


def running(session: Session, account_id: UUID) -> Experiment | None:
    return session.scalar(
        select(Experiment).where(
            Experiment.account_id == account_id, Experiment.status == "running"
        )
    )


def tested(session: Session, account_id: UUID) -> dict[str, dict[str, Any]]:
    """By outcome, the result of the latest trial that ran to its end and was carried out.

    A result stays as it was computed, but for its person it ends with its ratings: once too few
    of them are left to be tested, nothing is shown of it.
    """
    of_outcome = {}
    for experiment in reversed(mine(session, account_id)):
        result = result_of(session, experiment)
        if (
            experiment.status == "finished"
            and result is not None
            and result["carried_out"]
            and _found(session, experiment, completed_pairs=experiment.pairs)["p"] is not None
        ):
            of_outcome[experiment.outcome] = result
    return of_outcome


def result_of(session: Session, experiment: Experiment) -> dict[str, Any] | None:
    """As it was stored at the end. An earlier version did not ask whether it was carried out."""
    result = experiment.result
    if result is None or "carried_out" in result:
        return result
    return result | _adherence(session, experiment, result)


def agreements(session: Session, experiment: Experiment) -> dict[int, ExperimentBlock]:
    query = select(ExperimentBlock).where(ExperimentBlock.experiment_id == experiment.id)
    return {block.number: block for block in session.scalars(query)}


def deviations(
    session: Session, experiment: Experiment, *, now: datetime
) -> list[results.Deviation]:
    """Where the trial was not lived as planned, by what has been uploaded so far. Of a trial whose
    seed is not here nothing is known."""
    if not experiment.seed:
        return []
    return results.deviations(
        all_blocks(experiment),
        _lived(session, experiment),
        agreed=set(agreements(session, experiment)),
        comparison_limit_ua=_comparison_limit_ua(experiment),
        today=_today(experiment, now),
    )


def _adherence(session: Session, experiment: Experiment, result: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in all_blocks(experiment) if block.pair < result["completed_pairs"]]
    limit_ua = _comparison_limit_ua(experiment)
    as_drawn = results.delivered(blocks, _lived(session, experiment), comparison_limit_ua=limit_ua)
    return results.adherence(result, as_drawn, len(blocks))


def _lived(session: Session, experiment: Experiment) -> results.Lived:
    days, exposures, _ = load_days(session, experiment.account_id)
    row = next(place for place, one in enumerate(exposures) if one.name == "sessions")
    known = np.isfinite(days.exposures[row])
    return results.Lived.of(
        session_facts(session, experiment.account_id),
        (day for day, is_known in zip(days.dates, known, strict=True) if is_known),
    )


def _comparison_limit_ua(experiment: Experiment) -> float:
    return float(experiment.plan["arms"]["comparison"]["limits"]["amplitude_ua"])


def _announce_device(session: Session, experiment: Experiment, now: datetime) -> bool:
    """Announce the trial's device if there is something to offer for it."""
    is_standing = experiment.device_id in before.standing(session, experiment.account_id, now=now)
    if is_standing:
        announce(session, experiment.account_id, "device", experiment.device_id)
    return is_standing


def _stop(session: Session, experiment: Experiment, *, reason: str, now: datetime) -> None:
    today = _today(experiment, now)
    completed = sum(
        block.number % 2 == 1 and block.last_day < today for block in all_blocks(experiment)
    )
    experiment.stop_reason = reason
    _end(session, experiment, "stopped", completed_pairs=completed, now=now)


def _settles_at(experiment: Experiment) -> datetime:
    last = all_blocks(experiment)[-1]
    return last.ends_at(ZoneInfo(experiment.time_zone)) + RATINGS_SETTLE


def _next_due(experiment: Experiment, now: datetime) -> datetime:
    """When the next block ends, or the result can be computed."""
    zone = ZoneInfo(experiment.time_zone)
    ends = (block.ends_at(zone) for block in all_blocks(experiment))
    return next((end for end in ends if end > now), _settles_at(experiment))


def _end(
    session: Session, experiment: Experiment, status: str, *, completed_pairs: int, now: datetime
) -> None:
    found = _found(session, experiment, completed_pairs=completed_pairs)
    departed = deviations(session, experiment, now=now)
    experiment.result = (
        found
        | _adherence(session, experiment, found)
        | {"deviations": [asdict(deviation) for deviation in departed]}
    )
    experiment.status, experiment.ended_at = status, now
    experiment.version += 1
    # The finding of this pair may be `tested` now: its account is due, though no entry changed.
    session.execute(
        update(InsightState)
        .where(InsightState.account_id == experiment.account_id)
        .values(at_change=-1)
    )
    session.flush()
    announce(session, experiment.account_id, KIND, experiment.id)


def _found(session: Session, experiment: Experiment, *, completed_pairs: int) -> dict[str, Any]:
    """What the ratings that are there now show."""
    days = ratings.rated_days(session, experiment.account_id, experiment.outcome)
    return results.analyse_trial(days, 0, all_blocks(experiment), completed_pairs=completed_pairs)


def _wanted(experiment: Experiment, block: Block) -> Wanted:
    planned = experiment.plan["arms"][block.arm]
    return Wanted(msgspec.convert(planned["programme"], Programme), planned["limits"])


def _today(experiment: Experiment, now: datetime) -> date:
    return local_day(now.astimezone(ZoneInfo(experiment.time_zone)))
