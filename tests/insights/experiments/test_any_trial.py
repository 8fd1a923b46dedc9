"""Random lives with two trials: blocks not agreed to, devices that are offline or refuse, mornings
without a rating, red flags, and every way to end.

Two things hold in all of them. A device is never left below what its person had before without
them being told. And no trial is called tested whose blocks were not lived as drawn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cymba.devices import claiming
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.programme import (
    Wanted,
    programme_state,
    record_report,
    set_programme,
)
from cymba.devices.provisioning import reissue_claim_code
from cymba.devices.red_flags import raise_red_flag
from cymba.devices.screening import has_red_flag, lift_red_flags
from cymba.errors import Rejected
from cymba.insights.experiments import before, plans, trials
from cymba.insights.experiments.results import LEAST_ADHERENCE
from cymba.insights.tables import Experiment
from tests.insights.experiments.lives import (
    BEGAN,
    DEVICE,
    KEY,
    PROGRAMME,
    ZONE,
    answer_again,
    felt,
    used,
)

pytestmark = pytest.mark.usefixtures("versions_from_one")

HAD_UA = PROGRAMME["amplitude_ua"]
PAIRS, BLOCK_DAYS = 10, 2


@dataclass(frozen=True)
class TrialHabits:
    """How likely each thing is in each block."""

    agrees: float
    is_online: float
    refuses: float
    departs: float
    rates: float
    red_flag: float


CAREFUL = TrialHabits(agrees=1, is_online=0.97, refuses=0, departs=0.02, rates=1, red_flag=0)
HUMAN = TrialHabits(agrees=0.8, is_online=0.7, refuses=0.1, departs=0.15, rates=0.8, red_flag=0.05)
ADRIFT = TrialHabits(agrees=0.3, is_online=0.4, refuses=0.2, departs=0.5, rates=0.5, red_flag=0.1)
ENDS = ("completed", "stopped", "left alone", "handed on and back")
AFTERWARDS = ("nothing", "set back", "decline", "own programme")


@dataclass
class TrialLife:
    session: Session
    account_id: UUID
    chance: Random
    habits: TrialHabits
    now: datetime = BEGAN
    taken: int = 1  # the version that the device holds
    is_lost: bool = False  # offline for good: nothing more is uploaded
    knows: bool = False  # the person has chosen what the device is at
    as_lived: dict[UUID, int] = field(default_factory=dict)  # blocks that were as drawn, in truth

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def listen(self) -> None:
        """The device, if it is online, takes or refuses what is desired."""
        state = programme_state(self.session, self.account_id, DEVICE)
        if self.is_lost or state.desired is None or not self.happens(self.habits.is_online):
            return
        applied = not self.happens(self.habits.refuses)
        report = ReportedState(ver=state.version, applied=applied)
        record_report(self.session, DEVICE, report, self.now)
        self.session.expire_all()
        if applied:
            self.taken = state.version

    def live_block(self, experiment: Experiment, block: plans.Block) -> None:
        self.now = block.begins_at(ZONE) + timedelta(hours=1)
        if self.happens(self.habits.departs):
            self.answer_offer(self.chance.choice(("set back", "decline")))
        if self.happens(self.habits.agrees):
            agreed = trials.agree(self.session, KEY, experiment, block.number, now=self.now)
            self.knows &= not isinstance(agreed, trials.ExperimentBlock)  # type: ignore[attr-defined]
        self.listen()
        if self.happens(self.habits.red_flag):
            self.know_unless_a_trial_set_it()
            raise_red_flag(
                self.session, KEY, self.account_id, "chest_pain", felt_at=self.now, now=self.now
            )
        self.check()
        is_used = (block.arm == "full") != self.happens(self.habits.departs)
        at = self.now + timedelta(hours=14)
        if is_used and not self.is_lost:
            self.session.add(used(self.account_id, at))
        lived_as_drawn = is_used == (block.arm == "full")
        self.as_lived[experiment.id] = self.as_lived.get(experiment.id, 0) + lived_as_drawn
        if self.happens(self.habits.rates):
            pain = self.chance.randint(2, 4) + 3 * (not is_used)
            self.session.add(felt(self.account_id, at + timedelta(hours=13), pain))
        self.session.flush()
        self.is_lost |= self.happens(self.habits.departs / 20)

    def try_trial(self, end: str) -> Experiment | None:
        try:
            experiment = trials.begin(
                self.session, self.account_id, device_id=DEVICE, outcome="pain_now", pairs=PAIRS,
                block_days=BLOCK_DAYS, comparison_amplitude_ua=0, now=self.now,
            )  # fmt: skip
        except Rejected as refused:
            code = refused.code
        else:
            code = ""
        if code:
            assert code in {"no-programme", "no-contrast"}
            assert self.knows or has_red_flag(self.session, self.account_id)
            return None
        assert experiment.plan["arms"]["full"]["programme"]["amplitude_ua"] == HAD_UA
        blocks = plans.all_blocks(experiment)
        last = len(blocks) if end == "completed" else self.chance.randint(1, len(blocks) - 1)
        for block in blocks[:last]:
            self.live_block(experiment, block)
            self.advance()
        if end == "stopped":
            trials.stop(self.session, experiment, reason="enough", now=self.now)
        elif end == "handed on and back":
            self.know_unless_a_trial_set_it()
            claiming.release(self.session, self.account_id, DEVICE, self.now, key=KEY)
            self.now += timedelta(days=1)
            self.advance()
            code = reissue_claim_code(self.session, DEVICE)
            claiming.claim(self.session, self.account_id, "S1", code, self.now, key=KEY)
        self.check()
        # Whatever was done, in time every trial comes to its end.
        self.now = max(self.now, blocks[-1].ends_at(ZONE)) + timedelta(days=3)
        self.check()
        self.advance()
        assert experiment.status != "running"
        self.check()
        return experiment

    def know_unless_a_trial_set_it(self) -> None:
        """Whoever says of a red flag, or hands a device on, hears that no current is to flow from
        then on. Where a trial had set something before, there is more to tell."""
        desired = programme_state(self.session, self.account_id, DEVICE).desired
        if desired is not None and desired.limits.get("amplitude_ua") != 0:
            of_blocks = {
                block.programme_version
                for experiment in trials.mine(self.session, self.account_id)
                for block in trials.agreements(self.session, experiment).values()
            }
            self.knows |= desired.ver not in of_blocks

    def advance(self) -> None:
        trials.advance(self.session, self.account_id, now=self.now)

    def answer_offer(self, what: str) -> None:
        """If what was before is offered now."""
        told = before.standing(self.session, self.account_id, now=self.now).get(DEVICE)
        if told is None or told.state != "offered":
            return
        if what == "set back":
            before.set_back(self.session, KEY, told.experiment, now=self.now)
        elif what == "decline":
            before.decline(self.session, told.experiment, now=self.now)
            self.knows = True

    def afterwards(self, what: str) -> None:
        self.answer_offer(what)
        if what == "own programme":
            state = programme_state(self.session, self.account_id, DEVICE)
            own = Wanted(msgspec.convert(PROGRAMME, Programme))
            set_programme(
                self.session, KEY, self.account_id, DEVICE, own,
                if_version=state.version, now=self.now,
            )  # fmt: skip
        self.listen()
        self.check()

    def check(self) -> None:
        """Is the device at, or about to be at, less than the person had, without their knowing?"""
        state = programme_state(self.session, self.account_id, DEVICE)
        rows = [state.desired, state.held]
        allows_less = any(
            row is not None and row.limits.get("amplitude_ua", HAD_UA) < HAD_UA for row in rows
        )
        if not (allows_less or state.desired is None):
            return
        running = trials.running(self.session, self.account_id)
        is_in_agreed_block = running is not None and any(
            trials.block_of(running, number).begins_at(ZONE) - trials.AGREE_AHEAD  # type: ignore[attr-defined]
            <= self.now
            < trials.block_of(running, number).ends_at(ZONE)  # type: ignore[attr-defined]
            for number in trials.agreements(self.session, running)
        )
        is_told = DEVICE in before.standing(self.session, self.account_id, now=self.now)
        has_flag = has_red_flag(self.session, self.account_id)
        assert is_told or is_in_agreed_block or has_flag or self.knows


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """Every example begins with the same database."""
    outer = session.begin_nested()
    try:
        yield
    finally:
        outer.rollback()
        session.expire_all()


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    seed=st.integers(0, 2**32),
    habits=st.sampled_from([CAREFUL, HUMAN, ADRIFT]),
    ends=st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS)),
    afterwards=st.tuples(st.sampled_from(AFTERWARDS), st.sampled_from(AFTERWARDS)),
    is_flag_lifted=st.booleans(),
)
def test_nobody_is_left_below_unknowing_and_nothing_is_tested_that_was_not_done(
    session: Session,
    programmed: UUID,
    seed: int,
    habits: TrialHabits,
    ends: tuple[str, str],
    afterwards: tuple[str, str],
    is_flag_lifted: bool,
) -> None:
    with undone(session):
        life = TrialLife(session, programmed, Random(seed), habits)
        for end, after in zip(ends, afterwards, strict=True):
            experiment = life.try_trial(end)
            if is_flag_lifted and has_red_flag(session, programmed):
                lift_red_flags(session, programmed, "seen", life.now)
                answer_again(session, programmed, life.now)
            life.afterwards(after)
            found = trials.tested(session, programmed)
            event(f"{end}: {'tested' if found else 'not tested'}")
            if experiment is not None and found.get("pain_now") == experiment.result:
                assert experiment.status == "finished"
                assert life.as_lived[experiment.id] >= LEAST_ADHERENCE * 2 * PAIRS
