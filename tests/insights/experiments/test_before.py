"""However a trial ends, its person is told that the device is held down, and offered what was."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account, Change
from cymba.devices import claiming
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.programme import (
    Accepted,
    ProgrammeRefused,
    Wanted,
    programme_state,
    record_report,
    set_programme,
)
from cymba.devices.provisioning import reissue_claim_code
from cymba.devices.red_flags import raise_red_flag
from cymba.devices.screening import lift_red_flags
from cymba.devices.tables import Device
from cymba.devices.unknown_versions import answer_unknown
from cymba.errors import Conflict, Rejected
from cymba.insights.experiments import before, plans, trials
from cymba.insights.experiments.before import BeforeTrial
from cymba.insights.sentences import of_before_trial
from cymba.insights.tables import Experiment
from cymba.voice import Voice
from tests.insights.experiments.lives import (
    BEGAN,
    DEVICE,
    KEY,
    PROGRAMME,
    advance,
    answer_again,
    at_block,
    begin,
    end_of,
    used,
)

pytestmark = pytest.mark.usefixtures("versions_from_one")


def held_down(session: Session, account_id: UUID, **changes: int) -> Experiment:
    """A trial up to and with its first comparison block, which the device took."""
    experiment = begin(session, account_id, **changes)
    for block in plans.all_blocks(experiment):
        now = at_block(experiment, block.number)
        trials.agree(session, KEY, experiment, block.number, now=now)
        report(session, now)
        if block.arm == "comparison":
            return experiment
    raise AssertionError("every pair has a comparison block")


def report(session: Session, now: datetime, *, applied: bool = True) -> None:
    device = session.get_one(Device, DEVICE)
    version = programme_state_version(session, device)
    record_report(session, DEVICE, ReportedState(ver=version, applied=applied), now)
    session.expire_all()


def programme_state_version(session: Session, device: Device) -> int:
    holder = session.query(Account).first()
    assert holder is not None
    return programme_state(session, holder.id, device.id).version


def told(session: Session, account_id: UUID, now: datetime) -> BeforeTrial | None:
    return before.standing(session, account_id, now=now).get(DEVICE)


def after(experiment: Experiment) -> datetime:
    """In the block after the first comparison block, to which nobody agreed."""
    number = next(b.number for b in plans.all_blocks(experiment) if b.arm == "comparison")
    return at_block(experiment, number + 1)


Ending = Callable[[Session, Experiment], datetime]


def stopped(session: Session, experiment: Experiment) -> datetime:
    now = after(experiment) - timedelta(hours=12)  # in the comparison block
    trials.stop(session, experiment, reason="holiday", now=now)
    return now


def left_alone(_: Session, experiment: Experiment) -> datetime:
    return after(experiment)


def completed(session: Session, experiment: Experiment) -> datetime:
    now = end_of(experiment)
    assert advance(session, experiment, now) == "finished"
    return now


def over_but_not_settled(_: Session, experiment: Experiment) -> datetime:
    return end_of(experiment) - timedelta(days=2)


def with_red_flag(session: Session, experiment: Experiment) -> datetime:
    now = after(experiment) - timedelta(hours=12)
    raise_red_flag(session, KEY, experiment.account_id, "chest_pain", felt_at=now, now=now)
    trials.stop(session, experiment, reason="chest pain", now=now)
    return now


def handed_on_and_back(session: Session, experiment: Experiment) -> datetime:
    now = after(experiment)
    claiming.release(session, experiment.account_id, DEVICE, now, key=KEY)
    assert before.standing(session, experiment.account_id, now=now) == {}  # not theirs
    assert advance(session, experiment, now) == "stopped"
    assert experiment.stop_reason == trials.DEVICE_GONE
    code = reissue_claim_code(session, DEVICE)
    claiming.claim(session, experiment.account_id, "S1", code, now, key=KEY)
    return now


ENDINGS = (stopped, left_alone, completed, over_but_not_settled, with_red_flag, handed_on_and_back)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_whatever_ends_it_the_person_is_told_what_was_before(
    session: Session, programmed: UUID, ending: Ending
) -> None:
    experiment = held_down(session, programmed)
    now = ending(session, experiment)
    offered = told(session, programmed, now)
    assert offered is not None
    assert offered.state == "offered"
    assert msgspec.to_builtins(offered.wanted.programme)["amplitude_ua"] == 2000
    said = of_before_trial(Voice.of("en"), offered)
    assert "it gives no current. Before the trial it gave up to 2.0 mA" in said


def test_while_a_block_runs_as_agreed_there_is_nothing_to_tell(
    session: Session, programmed: UUID
) -> None:
    experiment = held_down(session, programmed)
    assert told(session, programmed, after(experiment) - timedelta(hours=12)) is None


def test_a_trial_that_left_the_device_as_it_was_tells_nothing(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed)
    assert told(session, programmed, at_block(experiment, 3)) is None  # nothing was agreed to
    number = next(b.number for b in plans.all_blocks(experiment) if b.arm == "full")
    trials.agree(session, KEY, experiment, number, now=at_block(experiment, number))
    assert told(session, programmed, at_block(experiment, number + 1)) is None


def test_set_back_it_is_told_until_the_device_has_taken_it(
    session: Session, programmed: UUID
) -> None:
    experiment = held_down(session, programmed)
    now = stopped(session, experiment)
    assert isinstance(before.set_back(session, KEY, experiment, now=now), Accepted)
    state = programme_state(session, programmed, DEVICE)
    assert state.desired is not None
    assert (state.desired.programme["amplitude_ua"], state.desired.limits) == (2000, {})
    sent = told(session, programmed, now)
    assert sent is not None
    assert sent.state == "sent"
    report(session, now, applied=False)
    assert told(session, programmed, now) is not None  # refused
    report(session, now + timedelta(minutes=1))
    assert told(session, programmed, now) is None
    with pytest.raises(Conflict):
        before.set_back(session, KEY, experiment, now=now)


def test_declined_it_is_told_no_more_and_the_next_trial_starts_from_there(
    session: Session, programmed: UUID
) -> None:
    experiment = held_down(session, programmed, comparison_amplitude_ua=400)
    now = stopped(session, experiment)
    before.decline(session, experiment, now=now)
    assert told(session, programmed, now) is None
    with pytest.raises(Conflict):
        before.decline(session, experiment, now=now)
    again = begin(session, programmed)
    assert again.plan["arms"]["full"]["programme"]["amplitude_ua"] == 400


def test_the_next_trial_starts_from_before_the_first_and_not_from_its_last_arm(
    session: Session, programmed: UUID
) -> None:
    stopped(session, held_down(session, programmed))
    again = begin(session, programmed)
    assert again.plan["arms"]["full"] == {"programme": PROGRAMME | UNSET, "limits": {}}
    assert again.plan["arms"]["comparison"]["limits"] == {"amplitude_ua": 0}


UNSET = {"native_level": None, "sensory_threshold_ua": None}


def test_what_the_person_sets_by_themselves_is_theirs(session: Session, programmed: UUID) -> None:
    experiment = held_down(session, programmed)
    now = stopped(session, experiment)
    less = Wanted(msgspec.convert(PROGRAMME | {"amplitude_ua": 1500}, Programme))
    version = programme_state(session, programmed, DEVICE).version
    set_programme(session, KEY, programmed, DEVICE, less, if_version=version, now=now)
    report(session, now)
    assert told(session, programmed, now) is None
    assert begin(session, programmed).plan["arms"]["full"]["programme"]["amplitude_ua"] == 1500


def choose(
    session: Session, account_id: UUID, now: datetime, limits: dict[str, float] | None = None
) -> None:
    """The person sets a programme by themselves, of their own accord."""
    own = Wanted(msgspec.convert(PROGRAMME, Programme), limits or {})
    version = programme_state(session, account_id, DEVICE).version
    accepted = set_programme(session, KEY, account_id, DEVICE, own, if_version=version, now=now)
    assert isinstance(accepted, Accepted)


def test_no_current_by_ones_own_choice_is_a_choice(session: Session, programmed: UUID) -> None:
    now = stopped(session, held_down(session, programmed))
    none = Wanted(msgspec.convert(PROGRAMME | {"amplitude_ua": 0}, Programme), {"amplitude_ua": 0})
    version = programme_state(session, programmed, DEVICE).version
    set_programme(session, KEY, programmed, DEVICE, none, if_version=version, now=now)
    assert told(session, programmed, now).state == "sent"
    report(session, now)
    assert told(session, programmed, now) is None


def test_what_a_red_flag_withholds_is_no_choice_even_once_it_is_lifted(
    session: Session, programmed: UUID
) -> None:
    experiment = begin(session, programmed, comparison_amplitude_ua=400)
    number = next(b.number for b in plans.all_blocks(experiment) if b.arm == "comparison")
    trials.agree(session, KEY, experiment, number, now=at_block(experiment, number))
    now = at_block(experiment, number + 1)
    raise_red_flag(session, KEY, programmed, "chest_pain", felt_at=now, now=now)
    report(session, now)
    lift_red_flags(session, programmed, "seen", now + timedelta(hours=1))
    assert told(session, programmed, now).state == "offered"


def test_until_the_device_takes_what_was_chosen_it_is_told_whatever_holds_it_down(
    session: Session, programmed: UUID
) -> None:
    """What a red flag withheld does as well as a trial, an earlier trial as well as the last."""
    experiment = held_down(session, programmed)
    now = stopped(session, experiment)
    choose(session, programmed, now)
    assert told(session, programmed, now).state == "sent"
    again = trials.begin(
        session, programmed, device_id=DEVICE, outcome="pain_now", pairs=8, block_days=3,
        comparison_amplitude_ua=0, now=now,
    )  # fmt: skip
    at = at_block(again, 0)
    trials.agree(session, KEY, again, 0, now=at)  # the device is offline and hears nothing of it
    trials.stop(session, again, reason="enough", now=at)
    choose(session, programmed, at + timedelta(days=4))
    assert told(session, programmed, at + timedelta(days=4)).state == "sent"
    flagged = at + timedelta(days=5)
    raise_red_flag(session, KEY, programmed, "chest_pain", felt_at=flagged, now=flagged)
    report(session, flagged)
    lift_red_flags(session, programmed, "seen", flagged + timedelta(days=1))
    answer_again(session, programmed, flagged + timedelta(days=1))
    choose(session, programmed, flagged + timedelta(days=1), {"duration_s": 1800})
    assert told(session, programmed, flagged + timedelta(days=1)).state == "sent"
    report(session, flagged + timedelta(days=1))
    assert told(session, programmed, flagged + timedelta(days=1)) is None


def test_the_servers_answer_to_an_unknown_version_is_no_choice(
    session: Session, programmed: UUID
) -> None:
    now = stopped(session, held_down(session, programmed, comparison_amplitude_ua=400))
    version = programme_state(session, programmed, DEVICE).version
    record_report(session, DEVICE, ReportedState(ver=version + 5, applied=True), now)
    answer_unknown(session, KEY, DEVICE, now)
    report(session, now)
    assert told(session, programmed, now).state == "offered"


def test_a_red_flag_bars_what_was_before_and_it_stays_offered(
    session: Session, programmed: UUID
) -> None:
    experiment = held_down(session, programmed)
    now = with_red_flag(session, experiment)
    refused = before.set_back(session, KEY, experiment, now=now)
    assert isinstance(refused, ProgrammeRefused)
    assert refused.error.code == "red-flag"
    assert told(session, programmed, now) is not None


def test_the_app_hears_of_a_block_that_is_over(session: Session, programmed: UUID) -> None:
    experiment = held_down(session, programmed)
    now = after(experiment)
    assert trials.accounts_due(session, now=now) == [programmed]
    assert trials.advance(session, programmed, now=now)
    session.commit()
    assert session.scalars(select(Change.entity_id).where(Change.kind == "device")).all() == [
        DEVICE
    ]
    assert trials.accounts_due(session, now=now) == []  # until the next block is over


@pytest.mark.parametrize("days", [-1, 30, 300], ids=["ended", "ends in it", "ends after it"])
def test_no_trial_carries_a_programme_on_beyond_its_end(
    session: Session, programmed: UUID, days: int
) -> None:
    ends = Wanted(msgspec.convert(PROGRAMME, Programme), {}, BEGAN + timedelta(days=days))
    set_programme(
        session, KEY, programmed, DEVICE, ends, if_version=1, now=BEGAN - timedelta(days=2)
    )
    with pytest.raises(Rejected) as refused:
        begin(session, programmed)
    assert refused.value.code == "programme-ends"


@pytest.mark.parametrize(
    ("amplitude_ua", "limits", "taken_ua", "comparison_ua", "is_accepted"),
    [
        pytest.param(2000, {}, [], 0, True, id="off"),
        pytest.param(2000, {}, [], 1000, True, id="half"),
        pytest.param(2000, {}, [], 1001, False, id="more than half"),
        pytest.param(2000, {}, [600] * 5, 1000, False, id="half of what is never taken"),
        pytest.param(0, {}, [], 8000, False, id="titrated, at the model's own limit"),
        pytest.param(0, {}, [], 400, False, id="titrated, and nobody knows what is taken"),
        pytest.param(0, {}, [1200] * 5, 400, True, id="titrated, and known"),
        pytest.param(0, {}, [], 0, True, id="titrated and off"),
        pytest.param(0, {"amplitude_ua": 0}, [], 0, False, id="nothing against nothing"),
    ],
)
def test_arms_that_could_not_differ_are_refused(
    session: Session,
    programmed: UUID,
    amplitude_ua: int,
    limits: dict[str, float],
    taken_ua: list[int],
    comparison_ua: int,
    is_accepted: bool,
) -> None:
    wanted = Wanted(msgspec.convert(PROGRAMME | {"amplitude_ua": amplitude_ua}, Programme), limits)
    set_programme(session, KEY, programmed, DEVICE, wanted, if_version=1, now=BEGAN)
    for number, ua in enumerate(taken_ua):
        done = used(programmed, BEGAN - timedelta(days=number + 1))
        done.max_amplitude_ua = ua
        session.add(done)
    session.flush()
    if is_accepted:
        assert begin(session, programmed, comparison_amplitude_ua=comparison_ua)
    else:
        with pytest.raises(Rejected) as refused:
            begin(session, programmed, comparison_amplitude_ua=comparison_ua)
        assert refused.value.code == "no-contrast"
