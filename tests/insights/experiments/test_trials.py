"""A trial lived through: agreed to, departed from, stopped, finished, and reproduced."""

from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices.programme import (
    ProgrammeRefused,
    programme_state,
)
from cymba.devices.red_flags import raise_red_flag
from cymba.diary.tables import DiaryEntry
from cymba.errors import Conflict, NotFound, Rejected
from cymba.insights import findings
from cymba.insights.experiments import plans, preview, trials
from cymba.insights.sentences import of_finding, of_trial
from cymba.insights.tables import ExperimentBlock, Finding
from cymba.stimulation.tables import StimulationSession
from cymba.voice import Voice
from tests.insights.experiments.lives import (
    BEGAN,
    DEVICE,
    KEY,
    ZONE,
    advance,
    at_block,
    begin,
    delete,
    end_of,
    felt,
    live,
    used,
)

pytestmark = pytest.mark.usefixtures("versions_from_one")


def test_power_is_shown_first_for_the_plans_that_are_offered(
    session: Session, account_id: UUID
) -> None:
    two, three = preview.power(session, account_id, "pain_now", plans=preview.OFFERED)
    assert (two.plan, three.plan) == ((21, 2), (14, 3))
    assert two.days == three.days == 84
    assert two.power > three.power
    assert not two.habits.from_own_diary
    with pytest.raises(Rejected):
        preview.power(session, account_id, "cough", plans=preview.OFFERED)


def test_power_goes_by_how_the_person_rates_and_stimulates(
    session: Session, account_id: UUID
) -> None:
    rng = np.random.default_rng(2)
    for day in range(60):
        morning = BEGAN - timedelta(days=day, hours=12)
        if day % 3:
            session.add(felt(account_id, morning, int(np.clip(round(5 + rng.normal(0, 2)), 0, 10))))
        if day % 2:
            session.add(used(account_id, morning + timedelta(hours=10)))
    session.flush()
    (found,) = preview.power(session, account_id, "pain_now", plans=[preview.Plan(14, 3)])
    habits = found.habits
    assert habits.from_own_diary
    assert 1.5 < habits.sd < 2.5
    assert habits.phi < 0.4
    assert habits.rated == pytest.approx(2 / 3, abs=0.03)
    assert habits.rated_again == pytest.approx(1 / 2, abs=0.03)
    assert habits.used == pytest.approx(1 / 2, abs=0.03)


@pytest.mark.parametrize(("block_days", "least"), [(1, 19), (2, 10), (3, 7), (5, 6)])
def test_short_blocks_need_more_pairs(
    session: Session, programmed: UUID, block_days: int, least: int
) -> None:
    with pytest.raises(Rejected) as refused:
        begin(session, programmed, pairs=least - 1, block_days=block_days)
    assert refused.value.errors[0]["pointer"] == "/pairs"
    assert begin(session, programmed, pairs=least, block_days=block_days)


def test_a_trial_needs_a_programme_to_keep_and_is_the_only_one(
    session: Session, account_id: UUID, programmed: UUID
) -> None:
    with pytest.raises(NotFound):
        begin(session, account_id, device_id="device-9999")
    begin(session, programmed)
    with pytest.raises(Conflict):
        begin(session, programmed)


def test_the_plan_is_sealed_before_the_start_and_its_first_day_is_tomorrow(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    assert experiment.seal == plans.seal(experiment.seed, experiment.plan)
    assert experiment.first_day.isoformat() == "2026-03-02"
    assert experiment.plan["arms"]["comparison"]["limits"]["amplitude_ua"] == 0
    assert experiment.plan["arms"]["full"]["programme"]["amplitude_ua"] == 2000


def test_nothing_goes_to_the_device_before_the_person_agrees(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    assert programme_state(session, programmed, DEVICE).version == 1
    with pytest.raises(Rejected):
        trials.agree(session, KEY, experiment, 3, now=at_block(experiment, 0))
    for number in (0, 1):
        now = at_block(experiment, number)
        agreed = trials.agree(session, KEY, experiment, number, now=now)
        assert isinstance(agreed, ExperimentBlock)
        state = programme_state(session, programmed, DEVICE)
        assert state.version == agreed.programme_version == 2 + number
        assert state.desired is not None
        arm = plans.block_of(experiment, number).arm
        assert (state.desired.limits.get("amplitude_ua") == 0) == (arm == "comparison")
        again = trials.agree(session, KEY, experiment, number, now=now)
        assert again is agreed


def test_a_low_dose_arm_holds_the_current_down_within_the_models_limits(
    session: Session, programmed: UUID
) -> None:
    with pytest.raises(Rejected):
        begin(session, programmed, comparison_amplitude_ua=2000)
    experiment = begin(session, programmed, comparison_amplitude_ua=400)
    number = next(b.number for b in plans.all_blocks(experiment) if b.arm == "comparison")
    trials.agree(session, KEY, experiment, number, now=at_block(experiment, number))
    desired = programme_state(session, programmed, DEVICE).desired
    assert desired is not None
    assert (desired.programme["amplitude_ua"], desired.limits["amplitude_ua"]) == (400, 400)


def test_a_red_flag_holds_the_full_programme_back_but_never_the_off_one(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    raise_red_flag(session, KEY, programmed, "chest_pain", felt_at=BEGAN, now=BEGAN)
    for block in plans.all_blocks(experiment)[:2]:
        now = at_block(experiment, block.number)
        outcome = trials.agree(session, KEY, experiment, block.number, now=now)
        if block.arm == "full":
            assert isinstance(outcome, ProgrammeRefused)
            assert outcome.error.code == "red-flag"
        else:
            assert isinstance(outcome, ExperimentBlock)


def test_a_finished_trial_finds_its_difference_and_can_be_computed_again(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0)
    assert advance(session, experiment, at_block(experiment, 15)) == "running"
    assert advance(session, experiment, end_of(experiment)) == "finished"
    result = experiment.result
    assert result is not None
    assert (experiment.status, result["pairs"]) == ("finished", 8)
    assert result["low"] < -2.0 < result["high"] < 0
    assert result["p"] < 0.05
    assert result["sensitivity"]["effect"] < 0
    assert trials.tested(session, programmed)["pain_now"] == result
    told = findings.refresh(session, programmed, now=end_of(experiment))
    assert "charge~pain_now~1" in told
    found = session.get_one(Finding, (programmed, "charge", "pain_now", 1))
    assert (found.grade, found.effect) == ("tested", result["effect"])
    assert "Your own trial had 8 pairs of blocks." in of_finding(Voice.of("en"), found)
    first = dict(result)
    experiment.status, experiment.ended_at = "running", None
    advance(session, experiment, end_of(experiment))
    assert experiment.result == first


def test_a_result_is_told_no_longer_than_its_ratings_are_there(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0)
    advance(session, experiment, end_of(experiment))
    findings.refresh(session, programmed, now=end_of(experiment))
    pair = (programmed, "charge", "pain_now", 1)
    entries = session.scalars(select(DiaryEntry).order_by(DiaryEntry.felt_at)).all()
    delete(entries[:1], end_of(experiment))
    findings.refresh(session, programmed, now=end_of(experiment))
    assert session.get_one(Finding, pair).grade == "tested"  # one is no reason to hide the rest
    delete(entries, end_of(experiment))
    findings.refresh(session, programmed, now=end_of(experiment))
    found = session.get_one(Finding, pair)
    assert (found.grade, found.effect, found.trial) == ("collecting", None, None)


def test_which_ratings_count_does_not_depend_on_the_arm(session: Session, programmed: UUID) -> None:
    """Whoever stimulates before they rate in full blocks would be rated in the others alone."""
    experiment = begin(session, programmed)
    live(session, experiment, effect=0.0)
    for block in plans.all_blocks(experiment):
        if block.arm == "full":
            at = block.begins_at(ZONE) + timedelta(hours=1)  # three hours before the rating
            session.add_all(used(programmed, at + timedelta(days=i)) for i in range(3))
    session.flush()
    advance(session, experiment, end_of(experiment))
    assert experiment.result is not None
    assert experiment.result["rated_days"] == experiment.result["planned_days"] == 48


def test_a_person_who_departs_from_the_plan_is_told(session: Session, programmed: UUID) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=0, comply=False)
    number = 0
    trials.agree(session, KEY, experiment, number, now=at_block(experiment, number))
    told = trials.deviations(session, experiment, now=end_of(experiment))
    by_code: dict[str, set[int]] = {}
    for one in told:
        by_code.setdefault(one.code, set()).add(one.block)
    off = {b.number for b in plans.all_blocks(experiment) if b.arm == "comparison"}
    assert by_code["stimulated_in_off_block"] == off
    assert by_code["not_agreed"] == set(range(1, 16))
    assert "no_session" not in by_code


def test_a_trial_that_was_not_carried_out_tests_nothing(session: Session, programmed: UUID) -> None:
    """Whatever its numbers are: here the person stimulated on every day."""
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0, comply=False)
    advance(session, experiment, end_of(experiment))
    result = experiment.result
    assert result is not None
    assert result["p"] < 0.05
    assert (result["blocks"], result["delivered_blocks"], result["carried_out"]) == (16, 8, False)
    assert trials.tested(session, programmed) == {}
    findings.refresh(session, programmed, now=end_of(experiment))
    assert session.get_one(Finding, (programmed, "charge", "pain_now", 1)).grade != "tested"
    said = of_trial(Voice.of("en"), "pain_now", result, planned_pairs=8, stopped=False)
    assert said.startswith("The trial did not go as planned: 8 of 16 blocks")
    assert "points" not in said


def test_a_result_of_an_earlier_version_is_asked_too(session: Session, programmed: UUID) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0, comply=False)
    advance(session, experiment, end_of(experiment))
    assert experiment.result is not None
    asked = {"blocks", "delivered_blocks", "carried_out"}
    experiment.result = {k: v for k, v in experiment.result.items() if k not in asked}
    assert trials.tested(session, programmed) == {}


def test_blocks_that_were_not_as_drawn_stand_in_the_sentence(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0)
    off = [block for block in plans.all_blocks(experiment) if block.arm == "comparison"]
    for block in off[1:2]:
        session.add(used(programmed, block.begins_at(ZONE) + timedelta(hours=9)))
    session.flush()
    advance(session, experiment, end_of(experiment))
    result = experiment.result
    assert result is not None
    assert result["carried_out"]
    departed = result["blocks"] - result["delivered_blocks"]
    assert departed >= 1
    said = of_trial(Voice.of("en"), "pain_now", result, planned_pairs=8, stopped=False)
    assert f"{departed} of 16 blocks were not as drawn" in said


def test_what_an_offline_device_did_is_not_known_and_not_as_drawn(
    session: Session, programmed: UUID
) -> None:
    """Nothing came of the off blocks, and nothing of the full ones: that proves neither."""
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0)
    session.execute(sql_delete(StimulationSession))
    advance(session, experiment, end_of(experiment))
    assert experiment.result is not None
    assert experiment.result["delivered_blocks"] == 0
    codes = {one["code"] for one in experiment.result["deviations"]}
    assert codes == {"not_agreed", "not_uploaded"}


def test_a_trial_that_is_stopped_rests_on_its_whole_pairs_and_is_not_called_tested(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed, pairs=10)
    live(session, experiment, effect=-2.0)
    trials.stop(session, experiment, reason="holiday", now=at_block(experiment, 15))
    assert experiment.result is not None
    assert (experiment.status, experiment.result["completed_pairs"]) == ("stopped", 7)
    assert experiment.result["pairs"] == 7
    assert trials.tested(session, programmed) == {}
    with pytest.raises(Conflict):
        trials.stop(session, experiment, reason="again", now=end_of(experiment))
    begin(session, programmed)


def test_stopped_after_too_few_pairs_there_is_no_p(session: Session, programmed: UUID) -> None:
    experiment = begin(session, programmed)
    live(session, experiment, effect=-2.0)
    trials.stop(session, experiment, reason="holiday", now=at_block(experiment, 5))
    assert experiment.result is not None
    assert (experiment.result["p"], experiment.result["effect"]) == (None, None)
