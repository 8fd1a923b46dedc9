"""One pair of exposure and outcome, for its person to look into: lags, days, scatter, residuals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.errors import NotFound
from cymba.insights import findings
from cymba.insights.analysis import PRIMARY_LAG
from cymba.insights.days import Days, Floats
from cymba.insights.exposures import Exposure
from cymba.insights.inputs import load_days
from cymba.insights.outcomes import Outcome
from cymba.insights.pair_inputs import PairInputs, inputs_hash
from cymba.insights.statistics import PairInFull, Reason
from cymba.insights.tables import Finding


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair at one lag, with what is known of it at the others.

    exposed, felt : (D,) by day, `felt` being what the lag refers to: the same day, or the morning,
                    or both the evening before and it
    full          : the regression's rows up to the finding's milestone; None where there is none
    is_current    : the finding rests on these very days; if not, it is about to be computed anew
    """

    exposure: Exposure
    outcome: Outcome
    finding: Finding
    lags: tuple[Finding, ...]
    dates: list[date]
    exposed: Floats
    felt: Floats
    full: PairInFull | None
    is_current: bool

    @property
    def shown_hash(self) -> str:
        """Of all that is shown: the same hash, the same picture."""
        shown = [
            (one.lag, one.grade, one.effect, one.low, one.high, one.pairs_now) for one in self.lags
        ]
        began = self.dates[0].isoformat() if self.dates else ""
        text = f"{began} {self.finding.lag} {self.finding.input_hash} {shown}".encode()
        return inputs_hash(
            self.finding.lag, self.exposed, self.felt, np.frombuffer(text, dtype=np.uint8)
        )

    @property
    def exposed_dates(self) -> list[date]:
        """For each of the regression's rows, the day of the exposure."""
        if self.full is None:
            return []
        return [self.dates[day - self.finding.lag] for day in self.full.days]

    @property
    def felt_dates(self) -> list[date]:
        return [] if self.full is None else [self.dates[day] for day in self.full.days]


def load_pair(
    session: Session, account_id: UUID, exposure: str, outcome: str, *, lag: int | None = None
) -> PairView:
    """The account's pair at a lag; if none is said, on the next morning or else the first there is.

    Raises:
        NotFound: there is no finding of this pair, or not at this lag.
    """
    # Compared here and not by the database, which takes no NUL that a caller may send.
    of_pair = [
        finding
        for finding in findings.mine(session, account_id)
        if (finding.exposure, finding.outcome) == (exposure, outcome)
    ]
    if lag is None:
        of_pair.sort(key=lambda finding: (finding.lag != PRIMARY_LAG, finding.lag))
        wanted = of_pair[:1]
    else:
        wanted = [finding for finding in of_pair if finding.lag == lag]
    if not wanted:
        raise NotFound("There is no finding of this pair.")
    days, exposures, outcomes = load_days(session, account_id)
    return view_pair(days, exposures, outcomes, wanted[0], of_pair)


def view_pair(
    days: Days,
    exposures: Sequence[Exposure],
    outcomes: Sequence[Outcome],
    finding: Finding,
    lags: Sequence[Finding],
) -> PairView:
    """The view of `finding` over these days; `lags` are the pair's findings at all lags.

    Raises:
        NotFound: the days do not hold the exposure or the outcome any more.
    """
    e = next((i for i, one in enumerate(exposures) if one.name == finding.exposure), None)
    o = next((i for i, one in enumerate(outcomes) if one.name == finding.outcome), None)
    if e is None or o is None:
        raise NotFound("What this finding rested on is not there any more.")
    pooled = Reason.EVENING_AND_MORNING in finding.reasons
    inputs = PairInputs.of(days, e, o, finding.lag, pooled=pooled)
    full, is_current = _in_full(finding, inputs)
    return PairView(
        exposure=exposures[e],
        outcome=outcomes[o],
        finding=finding,
        lags=tuple(sorted(lags, key=lambda one: one.lag)),
        dates=days.dates,
        exposed=inputs.exposed,
        felt=inputs.felt,
        full=full,
        is_current=is_current,
    )


def _in_full(finding: Finding, inputs: PairInputs) -> tuple[PairInFull | None, bool]:
    """The finding's own rows: those up to its milestone, which is where it is frozen."""
    rows = inputs.complete()
    if rows.size < finding.milestone:
        return None, False
    if not finding.milestone:
        return None, rows.size == finding.pairs_now
    end = int(rows[finding.milestone - 1]) + 1
    is_current = inputs.hashes_until([end]) == [finding.input_hash]
    if finding.effect is None or not is_current:
        return None, is_current
    return inputs.in_full_until(end), True
