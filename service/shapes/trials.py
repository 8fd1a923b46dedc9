"""A trial of the person's own, with its blocks and its result, as the API shows it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from cymba.insights.experiments import trials
from cymba.insights.experiments.plans import Block, all_blocks
from cymba.insights.experiments.trials import AGREE_AHEAD
from cymba.insights.sentences import of_trial
from cymba.insights.tables import Experiment
from service.http.language import spoken
from service.http.writing import writer
from service.shapes.experiments import (
    ExperimentBlockSchema,
    ExperimentDeviationSchema,
    ExperimentResultSchema,
    ExperimentSchema,
)

_block_shown = writer(ExperimentBlockSchema)
_deviation_shown = writer(ExperimentDeviationSchema)
_result_shown = writer(ExperimentResultSchema)
_experiment_shown = writer(ExperimentSchema)


def experiment_shown(
    session: Session, found: Experiment, before: Mapping[str, dict[str, Any]], now: datetime
) -> dict[str, Any]:
    """A trial as the API shows it (`ExperimentSchema`).

    Args:
        before: of `before_trials`.
    """
    has_ended = found.status != "running"
    agreed = trials.agreements(session, found)
    zone = ZoneInfo(found.time_zone)
    before_trial = before.get(found.device_id)
    if before_trial is not None and before_trial["experiment_id"] != found.id:
        before_trial = None  # a later trial's
    result, sentence = trials.result_of(session, found), None
    if result is not None:
        sentence = of_trial(
            spoken(),
            found.outcome,
            result,
            planned_pairs=found.pairs,
            stopped=found.status == "stopped",
        )
        departed = result["deviations"]
    else:
        departed = trials.deviations(session, found, now=now)

    def block_shown(block: Block) -> dict[str, Any]:
        arm_is_known = has_ended or now >= block.begins_at(zone) - AGREE_AHEAD
        agreement = agreed.get(block.number)
        return _block_shown(
            block,
            arm=block.arm if arm_is_known else None,
            agreed_at=agreement and agreement.agreed_at,
            programme_version=agreement and agreement.programme_version,
        )

    return _experiment_shown(
        found,
        comparison_amplitude_ua=found.plan["arms"]["comparison"]["limits"]["amplitude_ua"],
        plan=found.plan,  # as it was sealed: with all that it holds, and nothing else
        seed=found.seed.hex() if has_ended and found.seed else None,
        blocks=[block_shown(block) for block in all_blocks(found)],
        result=result and _result_shown(result),
        before_trial=before_trial,
        deviations=[_deviation_shown(one) for one in departed],
        sentence=sentence,
    )
