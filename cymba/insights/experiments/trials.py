"""A trial's life: made and sealed, a programme for each block if the person agrees, an end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.messages import Programme
from cymba.devices.programme import (
    Accepted,
    ProgrammeRefused,
    ProgrammeState,
    Wanted,
    programme_state,
    set_programme,
)
from cymba.errors import Conflict, NotFound, Rejected
from cymba.insights.days import Days, build_days, local_day
from cymba.insights.experiments import plans, results
from cymba.insights.experiments.plans import Block
from cymba.insights.inputs import entry_facts, session_facts
from cymba.insights.outcomes import OUTCOMES, PRIMARY_OUTCOMES
from cymba.insights.statistics import smallest_difference
from cymba.insights.tables import Experiment, ExperimentBlock, InsightState

MIN_PAIRS, MAX_PAIRS, DEFAULT_PAIRS = 6, 40, 14
DEFAULT_BLOCK_DAYS = 3
# Where the diary is too short to tell: measured on simulated people as a common case.
USUAL_SD, USUAL_PHI = 1.5, 0.6
MIN_DAYS_TO_TELL = 28
TRIED_EXPOSURE = "charge"  # whose finding a trial of either arm grades
AGREE_AHEAD = timedelta(hours=12)  # before a block begins, its programme can be agreed to
RATINGS_SETTLE = timedelta(days=2)  # after the last block: its last morning, and a late upload


@dataclass(frozen=True, slots=True)
class Power:
    """What a plan can find: differences of at least `smallest_difference` with probability .8."""

    pairs: int
    days: int
    smallest_difference: float  # in the outcome's points
    sd: float
    phi: float
    from_own_diary: bool


def power(
    session: Session, account_id: UUID, outcome: str, *, block_days: int, pairs: Sequence[int]
) -> list[Power]:
    """For each number of pairs, the smallest difference it finds, by the person's own diary.

    Raises:
        Rejected: trials are not made of this outcome.
    """
    _check_outcome(outcome)
    sd, phi, own = _spread(session, account_id, outcome)
    return [
        Power(
            pairs=count,
            days=2 * count * block_days,
            smallest_difference=smallest_difference(count, block_days, sd, phi),
            sd=sd,
            phi=phi,
            from_own_diary=own,
        )
        for count in pairs
    ]


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

    In full blocks the device keeps the programme it has now; in comparison blocks its current is
    limited to `comparison_amplitude_ua` (0: off).

    Raises:
        NotFound: the account does not hold such a device.
        Rejected: the outcome has no trials, or the device has no programme to keep.
        Conflict: another trial is running.
    """
    _check_outcome(outcome)
    state = programme_state(session, account_id, device_id)
    arms = _arms(state, comparison_amplitude_ua)
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
        "arms": arms,
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
    session.add(experiment)
    session.flush()
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
    experiment.version += 1
    session.flush()
    return agreed


def stop(session: Session, experiment: Experiment, *, reason: str, now: datetime) -> None:
    """End a trial before its time. The result rests on the pairs that were completed, and says so;
    ended early because of what the ratings look like, its p means little, and it says that too.

    Raises:
        Conflict: the trial has ended already.
    """
    if experiment.status != "running":
        raise Conflict("The trial has ended.", code="experiment-ended")
    today = _today(experiment, now)
    completed = sum(
        block.number % 2 == 1 and block.last_day < today for block in all_blocks(experiment)
    )
    experiment.stop_reason = reason
    _end(session, experiment, "stopped", completed_pairs=completed, now=now)


def advance(session: Session, *, now: datetime) -> list[Experiment]:
    """Finish the trials whose last ratings are in; gives those that ended."""
    query = (
        select(Experiment).where(Experiment.status == "running").with_for_update(skip_locked=True)
    )
    ended = []
    for experiment in session.scalars(query):
        last = all_blocks(experiment)[-1]
        if now >= last.ends_at(ZoneInfo(experiment.time_zone)) + RATINGS_SETTLE:
            _end(session, experiment, "finished", completed_pairs=experiment.pairs, now=now)
            ended.append(experiment)
    return ended


def mine(session: Session, account_id: UUID) -> list[Experiment]:
    query = select(Experiment).where(Experiment.account_id == account_id)
    return list(session.scalars(query.order_by(Experiment.sealed_at.desc(), Experiment.id)))


def get(
    session: Session, account_id: UUID, experiment_id: UUID, *, lock: bool = False
) -> Experiment:
    """The account's own trial, or `NotFound`."""
    experiment = session.get(Experiment, experiment_id, with_for_update=lock)
    if experiment is None or experiment.account_id != account_id:
        raise NotFound("There is no such trial.")
    return experiment


def running(session: Session, account_id: UUID) -> Experiment | None:
    return session.scalar(
        select(Experiment).where(
            Experiment.account_id == account_id, Experiment.status == "running"
        )
    )


def tested(session: Session, account_id: UUID) -> dict[str, dict[str, Any]]:
    """By outcome, the result of the latest trial that ran to its end and could be tested.

    A result stays as it was computed, but for its person it ends with its ratings: once too few
    of them are left to be tested, nothing is told of what they showed.
    """
    return {
        experiment.outcome: experiment.result
        for experiment in reversed(mine(session, account_id))
        if experiment.status == "finished"
        and experiment.result is not None
        and experiment.result["p"] is not None
        and _found(session, experiment, completed_pairs=experiment.pairs)["p"] is not None
    }


def all_blocks(experiment: Experiment) -> list[Block]:
    """Every block with its arm: not to be told before its time."""
    return plans.blocks(
        experiment.seed,
        pairs=experiment.pairs,
        block_days=experiment.block_days,
        first_day=experiment.first_day,
    )


def block_of(experiment: Experiment, number: int) -> Block:
    """One block, or `NotFound`."""
    blocks = all_blocks(experiment)
    if not 0 <= number < len(blocks):
        raise NotFound("The trial has no such block.")
    return blocks[number]


def agreements(session: Session, experiment: Experiment) -> dict[int, ExperimentBlock]:
    query = select(ExperimentBlock).where(ExperimentBlock.experiment_id == experiment.id)
    return {block.number: block for block in session.scalars(query)}


def deviations(
    session: Session, experiment: Experiment, *, now: datetime
) -> list[results.Deviation]:
    """Where the trial was not lived as planned, by what has been uploaded so far. Of a trial whose
    seed is not here nothing can be told."""
    if not experiment.seed:
        return []
    return results.deviations(
        all_blocks(experiment),
        session_facts(session, experiment.account_id),
        agreed=set(agreements(session, experiment)),
        comparison_limit_ua=experiment.plan["arms"]["comparison"]["limits"]["amplitude_ua"],
        today=_today(experiment, now),
    )


def _end(
    session: Session, experiment: Experiment, status: str, *, completed_pairs: int, now: datetime
) -> None:
    found = _found(session, experiment, completed_pairs=completed_pairs)
    departed = deviations(session, experiment, now=now)
    experiment.result = found | {"deviations": [asdict(deviation) for deviation in departed]}
    experiment.status, experiment.ended_at = status, now
    experiment.version += 1
    # The finding of this pair may be `tested` now: its account is due, though no entry changed.
    session.execute(
        update(InsightState)
        .where(InsightState.account_id == experiment.account_id)
        .values(at_change=-1)
    )
    session.flush()


def _found(session: Session, experiment: Experiment, *, completed_pairs: int) -> dict[str, Any]:
    """What the ratings that are there now show."""
    days = _rated_days(session, experiment.account_id, experiment.outcome)
    return results.analyse_trial(days, 0, all_blocks(experiment), completed_pairs=completed_pairs)


def _arms(state: ProgrammeState, comparison_amplitude_ua: int) -> dict[plans.Arm, dict[str, Any]]:
    """What the device is set to in either arm: the programme it has, and the same held down."""
    if state.desired is None:
        raise Rejected(
            "The device has no programme yet for the trial to keep.", code="no-programme"
        )
    programme, limits = state.desired.programme, dict(state.desired.limits)
    amplitude_ua = programme["amplitude_ua"]
    usual = limits.get("amplitude_ua") or amplitude_ua
    if usual and comparison_amplitude_ua >= usual:
        raise Rejected(
            "The comparison's current must be below the full programme's.",
            code="validation",
            errors=[{"pointer": "/comparison_amplitude_ua", "detail": f"must be below {usual:g}"}],
        )
    held_down = programme | {"amplitude_ua": min(amplitude_ua, comparison_amplitude_ua)}
    if held_down["amplitude_ua"] != amplitude_ua:
        held_down["native_level"] = None  # it named the higher current
    return {
        "full": {"programme": programme, "limits": limits},
        "comparison": {
            "programme": held_down,
            "limits": limits | {"amplitude_ua": comparison_amplitude_ua},
        },
    }


def _wanted(experiment: Experiment, block: Block) -> Wanted:
    planned = experiment.plan["arms"][block.arm]
    return Wanted(msgspec.convert(planned["programme"], Programme), planned["limits"])


def _check_outcome(outcome: str) -> None:
    if outcome not in PRIMARY_OUTCOMES:
        raise Rejected(
            "Trials are made of the primary outcomes only.",
            code="validation",
            errors=[
                {"pointer": "/outcome", "detail": f"must be one of {', '.join(PRIMARY_OUTCOMES)}"}
            ],
        )


def _spread(session: Session, account_id: UUID, outcome: str) -> tuple[float, float, bool]:
    """Standard deviation and lag-1 autocorrelation of the outcome's mornings; whether its own."""
    mornings = _rated_days(session, account_id, outcome).mornings[0]
    rated = np.isfinite(mornings)
    successive = rated[1:] & rated[:-1]
    if rated.sum() < MIN_DAYS_TO_TELL or successive.sum() < MIN_DAYS_TO_TELL // 2:
        return USUAL_SD, USUAL_PHI, False
    sd = float(mornings[rated].std(ddof=1))
    if sd == 0:
        return USUAL_SD, USUAL_PHI, False
    centred = mornings - mornings[rated].mean()
    covariance = float((centred[1:] * centred[:-1])[successive].mean())
    return sd, float(np.clip(covariance / sd**2, 0.0, 0.95)), True


def _rated_days(session: Session, account_id: UUID, outcome: str) -> Days:
    """The diary by the clock alone, without any session: a finding leaves out what was felt in the
    morning after a session, and that would choose the ratings of one arm and not of the other."""
    return build_days(
        (),
        entry_facts(session, account_id),
        exposures=(),
        outcomes=(OUTCOMES[outcome],),
        has_synced=lambda _: True,
    )


def _today(experiment: Experiment, now: datetime) -> date:
    return local_day(now.astimezone(ZoneInfo(experiment.time_zone)))
