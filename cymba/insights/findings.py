"""Stored findings: computed when their inputs change, announced when they say something new."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Function, Select, Uuid, bindparam, delete, func, or_, select
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce, change_counter
from cymba.accounts.tables import Account, Consent
from cymba.database import Prepared, columns_of
from cymba.insights.analysis import LookTaken, Pair, analyse
from cymba.insights.days import Days
from cymba.insights.experiments.trials import TRIED_EXPOSURE, tested
from cymba.insights.inputs import load_days
from cymba.insights.pair_inputs import METHOD_VERSION, inputs_hash
from cymba.insights.statistics import Grade, Tier
from cymba.insights.tables import Finding, InsightState
from cymba.large_reads import LargeReads

KIND: Final = "finding"

# A change in any of these is news for the app; that another day was complete is not.
_NEWS = ("grade", "milestone", "effect", "low", "high", "tier", "method_version")


def accounts_due(session: Session, *, limit: int = 100, but: Collection[UUID] = ()) -> list[UUID]:
    """Accounts that agreed to insights and have changed since their findings were computed, or
    whose findings are of an older method. Those computed the longest time ago come first, so that
    an account that changes all the time holds up no other."""
    query = _due().where(Account.id.not_in(but))
    waited = InsightState.computed_at.asc().nulls_first()
    return list(session.scalars(query.order_by(waited, Account.id).limit(limit)))


def claim_due(session: Session, account_id: UUID) -> bool:
    """Take the account for this transaction; False if another process has it, or has just done it.

    Each process calls this before `refresh`, so that no work is done twice.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_lock_key(account_id)))):
        return False
    return session.scalar(_due().where(Account.id == account_id)) is not None


def _lock_key(account_id: UUID) -> Function[int]:
    return func.hashtextextended(f"insights/{account_id}", 0)


def _due() -> Select[UUID]:
    return (
        select(Account.id)
        .join(Consent, Consent.account_id == Account.id)
        .outerjoin(InsightState, InsightState.account_id == Account.id)
        .where(
            Consent.purpose == "insights",
            Consent.withdrawn_at.is_(None),
            or_(
                Account.change_counter > func.coalesce(InsightState.at_change, -1),
                InsightState.method_version != METHOD_VERSION,
            ),
        )
    )


def refresh(
    session: Session, account_id: UUID, *, now: datetime, reads: LargeReads | None = None
) -> list[str]:
    """Compute the account's findings anew if what they rest on has changed.

    Returns the entity ids of those that are announced to the app.

    Args:
        reads: give the account's days, as they are committed; else they are those of `session`.
    """
    # Before its days are asked for: these hold at least what was changed up to this number.
    at_change = change_counter(session, account_id)
    load = partial(load_days, account_id=account_id)
    days, exposures, outcomes = load(session) if reads is None else reads.read(load)
    trials = tested(session, account_id)
    whole = _hash_of_all(
        days,
        [f"{e.name} primary" if e.primary else e.name for e in exposures],
        [o.name for o in outcomes],
        [trial["input_hash"] for trial in trials.values()],
    )
    state = session.get(InsightState, account_id, with_for_update=True)
    if state is None:
        state = InsightState(account_id=account_id)
    elif state.input_hash == whole and state.method_version == METHOD_VERSION:
        state.at_change, state.computed_at = at_change, now  # they would be the same
        return []
    stored = mine(session, account_id)
    known = (LookTaken.known(look) for finding in stored for look in finding.looks)
    pairs = analyse(
        days,
        exposures,
        outcomes,
        tested=frozenset((TRIED_EXPOSURE, outcome) for outcome in trials),
        known={look.input_hash: look for look in known if look is not None},
    )
    announced = _store(session, account_id, stored, pairs, trials, now=now)
    # What `refresh` itself announces is no new input: each takes one number at the commit.
    state.at_change = at_change + len(announced)
    state.input_hash, state.method_version, state.computed_at = whole, METHOD_VERSION, now
    session.add(state)
    session.flush()
    return announced


def forget(session: Session, account_id: UUID) -> None:
    """Remove the account's findings, when the person takes their consent back.

    Waits for a `claim_due` of another transaction, whose findings would else come after this.
    """
    session.execute(select(func.pg_advisory_xact_lock(_lock_key(account_id))))
    gone = session.execute(
        delete(Finding)
        .where(Finding.account_id == account_id)
        .returning(Finding.exposure, Finding.outcome, Finding.lag)
    ).all()
    session.execute(delete(InsightState).where(InsightState.account_id == account_id))
    for row in gone:
        announce(session, account_id, KIND, entity_id(*row), deleted=True)


def mine(session: Session, account_id: UUID) -> list[Finding]:
    """All findings: primaries first, then by lag and name."""
    query = select(Finding).where(Finding.account_id == account_id)
    return sorted(session.scalars(query), key=_in_order)


class ShownFinding(NamedTuple):
    """What is shown of a finding in a list: all but its looks, which take longest to read."""

    exposure: str
    outcome: str
    lag: int
    tier: str
    grade: str
    reasons: list[str]
    milestone: int
    pairs_now: int
    days: int
    exposure_coverage: float
    outcome_coverage: float
    effect: float | None
    low: float | None
    high: float | None
    contrast: float | None
    sequential_p: float | None
    more_days_low: int | None
    more_days_high: int | None
    trial: dict[str, Any] | None
    method_version: str
    input_hash: str
    version: int
    changed_at: datetime


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_SHOWN = Prepared(
    select(*columns_of(Finding, ShownFinding)).where(Finding.account_id == _ACCOUNT_ID)
)
_COMPUTED_AT = Prepared(
    select(InsightState.computed_at).where(InsightState.account_id == _ACCOUNT_ID)
)


def shown(line: psycopg.Connection[Any], account_id: UUID) -> list[ShownFinding]:
    """All findings, in the order of `mine`."""
    rows = _SHOWN.rows(line, account_id=account_id)
    return sorted(map(ShownFinding._make, rows), key=_in_order)


def computed_at(line: psycopg.Connection[Any], account_id: UUID) -> datetime | None:
    """When they were computed last; None: not yet."""
    rows = _COMPUTED_AT.rows(line, account_id=account_id)
    return rows[0][0] if rows else None


def _in_order(finding: Finding | ShownFinding) -> tuple[bool, int, str, str]:
    return finding.tier != "primary", finding.lag, finding.exposure, finding.outcome


def by_entity_ids(
    line: psycopg.Connection[Any], account_id: UUID, entity_ids: Collection[str]
) -> list[ShownFinding]:
    """Those of the account that the change feed names so; in the order of `mine`."""
    wanted = frozenset(entity_ids)
    return [
        finding
        for finding in shown(line, account_id)
        if entity_id(finding.exposure, finding.outcome, finding.lag) in wanted
    ]


def entity_id(exposure: str, outcome: str, lag: int) -> str:
    """How the change feed names a finding."""
    return f"{exposure}~{outcome}~{lag}"


def _store(
    session: Session,
    account_id: UUID,
    findings: Sequence[Finding],
    pairs: Sequence[Pair],
    trials: Mapping[str, Mapping[str, Any]],
    *,
    now: datetime,
) -> list[str]:
    """Every primary, and what else has reached a milestone: before that there is nothing to say."""
    stored = {(f.exposure, f.outcome, f.lag): f for f in findings}
    announced = []
    for pair in pairs:
        if pair.tier is not Tier.PRIMARY and not pair.taken:
            continue
        key = (pair.exposure.name, pair.outcome.name, pair.lag)
        values = _values(pair)
        if values["grade"] == Grade.TESTED:
            trial = trials[pair.outcome.name]
            values |= {name: trial[name] for name in ("effect", "low", "high")}
            values["trial"] = dict(trial)
        finding = stored.pop(key, None)
        if finding is None:
            finding = Finding(account_id=account_id, version=0, **values)
            session.add(finding)
        elif all(getattr(finding, name) == values[name] for name in values):
            continue
        else:
            news = any(getattr(finding, name) != values[name] for name in _NEWS)
            for name, value in values.items():
                setattr(finding, name, value)
            if not news:
                continue
        finding.version += 1
        finding.changed_at = now
        announced.append(entity_id(*key))
        announce(session, account_id, KIND, announced[-1])
    for key, finding in stored.items():
        session.delete(finding)
        announced.append(entity_id(*key))
        announce(session, account_id, KIND, announced[-1], deleted=True)
    session.flush()
    return announced


def of_pair(account_id: UUID, pair: Pair) -> Finding:
    """A finding that is not stored yet."""
    return Finding(account_id=account_id, version=0, **_values(pair))


def _values(pair: Pair) -> dict[str, Any]:
    last, verdict = pair.last, pair.verdict
    assert verdict is not None  # noqa: S101 - `analyse` grades every pair
    more = verdict.more_days
    return {
        "exposure": pair.exposure.name,
        "outcome": pair.outcome.name,
        "lag": pair.lag,
        "tier": str(pair.tier),
        "grade": str(verdict.grade),
        "reasons": [str(reason) for reason in verdict.reasons],
        "milestone": last.milestone if last else 0,
        "pairs_now": pair.pairs_now,
        "days": pair.days,
        "exposure_coverage": pair.exposure_coverage,
        "outcome_coverage": pair.outcome_coverage,
        "effect": last.effect if last else None,
        "low": last.low if last else None,
        "high": last.high if last else None,
        "contrast": last.contrast if last else None,
        "sequential_p": last.sequential_p if last else None,
        "more_days_low": more.low if more else None,
        "more_days_high": more.high if more else None,
        "trial": None,
        "looks": [look.stored() for look in pair.taken],
        "method_version": METHOD_VERSION,
        "input_hash": last.input_hash if last else "",
    }


def _hash_of_all(
    days: Days, exposures: Sequence[str], outcomes: Sequence[str], trials: Sequence[str]
) -> str:
    digest = hashlib.sha256("\0".join((*exposures, "", *outcomes, "", *trials)).encode())
    digest.update("".join(day.isoformat() for day in days.dates).encode())
    cycle = () if days.cycle is None else (days.cycle,)
    arrays = (days.exposures, days.mornings, days.same_day, days.before, days.weekdays, *cycle)
    digest.update(inputs_hash(0, *arrays).encode())
    return digest.hexdigest()
