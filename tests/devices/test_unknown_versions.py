"""Whatever a restore took from the database, the device comes to hold what its person set last."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete, insert, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.claiming import Claimed, claim, hand_on
from cymba.devices.held_devices import held_device
from cymba.devices.issuing import NUMBERED_SINCE
from cymba.devices.messages import ReportedState
from cymba.devices.programme import Wanted, programme_state, record_report, set_programme
from cymba.devices.publication import as_message
from cymba.devices.tables import Device, DeviceProgramme, UnknownVersion
from cymba.devices.unknown_versions import (
    ANSWERED_EVERY,
    HIGHEST_FOLLOWED,
    answer_unknown,
    unanswered,
)
from simulator.prescription import Prescription
from tests.devices.test_programme import EAR, HOUR, KEY, NOW, accepted, current, make_held

UINT32 = 2**32 - 1
TABLES: tuple[Table, ...] = (DeviceProgramme.__table__, UnknownVersion.__table__)  # type: ignore[assignment]


@dataclass
class ReportHistory:
    """A person, their device with its memory, and the server's tables with a backup of them."""

    session: Session
    held: tuple[UUID, str]
    now: datetime = NOW
    last_set_ua: int | None = None
    backup: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = Prescription(EAR)
        self.back_up()

    def narrow(self, limit_ua: int) -> None:
        wanted = Wanted(current(0), {"amplitude_ua": limit_ua})
        version = programme_state(self.session, *self.held).version
        set_programme(self.session, KEY, *self.held, wanted, if_version=version, now=self.now)
        self.last_set_ua = limit_ua

    def back_up(self) -> None:
        self.session.flush()
        self.backup = {
            one.name: [row._asdict() for row in self.session.execute(select(one))] for one in TABLES
        }

    def restore(self) -> None:
        self.session.flush()
        self.session.expunge_all()
        for one in TABLES:
            self.session.execute(delete(one))
            if self.backup[one.name]:
                self.session.execute(insert(one), self.backup[one.name])
        self.last_set_ua = None  # unknown here: whatever it was, it is not lost below

    def connect(self) -> None:
        """The device gets what is desired and reports."""
        desired = self.desired()
        if desired is not None:
            report = self.device.receive(
                as_message(desired), self.held[1], KEY.public_key(), self.now.timestamp() * 1_000
            )
            self.report(report)

    def report(self, report: ReportedState) -> None:
        record_report(self.session, self.held[1], report, self.now)
        self.session.expire_all()

    def answer(self) -> None:
        for device_id in unanswered(self.session, self.now):
            answer_unknown(self.session, KEY, device_id, self.now)

    def desired(self) -> DeviceProgramme | None:
        self.session.flush()
        return self.session.scalars(
            select(DeviceProgramme)
            .where(DeviceProgramme.device_id == self.held[1])
            .order_by(DeviceProgramme.ver.desc())
        ).first()


STEPS: dict[str, Callable[[ReportHistory], None]] = {
    "connect": ReportHistory.connect,
    "answer": ReportHistory.answer,
    "back up": ReportHistory.back_up,
    "restore": ReportHistory.restore,
}


@pytest.fixture
def held(session: Session) -> tuple[UUID, str]:
    return make_held(session)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(st.sampled_from(sorted(STEPS)), st.sampled_from([500, 1_000, 2_000, 3_000])),
        max_size=12,
    ),
    seconds=st.sampled_from([0, 1, 600]),
    old_memory=st.integers(0, 5),
    last_ua=st.none() | st.sampled_from([500, 1_000]),
)
def test_the_device_comes_to_hold_what_was_set_last(
    session: Session,
    held: tuple[UUID, str],
    steps: list[str | int],
    seconds: int,
    old_memory: int,
    last_ua: int | None,
) -> None:
    """Versions are set and lost, none of them within the second before a restore; the device may
    hold one that was numbered from 1 on, as versions once were."""
    for one in TABLES:
        session.execute(delete(one))
    history = ReportHistory(session, held)
    history.device.version = old_memory
    for step in steps:
        if isinstance(step, int):
            history.narrow(step)
        else:
            history.now += timedelta(seconds=1 if step == "restore" else 0)
            STEPS[step](history)
        history.now += timedelta(seconds=seconds)
    history.now += timedelta(seconds=1)
    if last_ua is not None:
        history.narrow(last_ua)
    for _ in range(3):
        history.connect()
        history.now += ANSWERED_EVERY + timedelta(seconds=1)
        history.answer()
    desired = history.desired()
    if desired is not None:
        assert history.device.version == desired.ver
        assert history.device.limits.amplitude_ua == desired.limits["amplitude_ua"]
    if history.last_set_ua is not None:
        assert history.device.limits.amplitude_ua == history.last_set_ua
    assert unanswered(session, history.now) == []


@pytest.mark.parametrize("spoken", [3, HIGHEST_FOLLOWED - 1])
def test_an_unknown_version_is_answered_by_a_newer_one_with_the_same(
    session: Session, held: tuple[UUID, str], spoken: int
) -> None:
    known = accepted(session, held, Wanted(current(), {"amplitude_ua": 3_000}), 0)
    report = ReportedState(ver=spoken, applied=True)
    assert record_report(session, held[1], report, NOW) == "unknown-version"
    told = held_device(session, *held).unknown_programme
    assert told is not None
    assert told.ver == spoken
    assert unanswered(session, NOW) == [held[1]]
    answered = answer_unknown(session, KEY, held[1], NOW)
    assert answered.ver > max(spoken, known)
    assert (answered.account_id, answered.limits) == (held[0], {"amplitude_ua": 3_000})
    assert as_message(answered).programme == current()
    assert unanswered(session, NOW + HOUR) == []
    record_report(session, held[1], ReportedState(ver=answered.ver, applied=True), NOW + HOUR)
    session.expire_all()
    assert held_device(session, *held).unknown_programme is None


def test_a_device_of_which_nothing_was_desired_gets_no_current(
    session: Session, held: tuple[UUID, str]
) -> None:
    record_report(session, held[1], ReportedState(ver=3, applied=True), NOW)
    answered = answer_unknown(session, KEY, held[1], NOW)
    assert (answered.limits, answered.account_id) == ({"amplitude_ua": 0}, None)


def test_limits_outlast_the_programme_that_ended_meanwhile(
    session: Session, held: tuple[UUID, str]
) -> None:
    accepted(session, held, Wanted(current(2_000), {"amplitude_ua": 2_500}, NOW + HOUR), 0)
    record_report(session, held[1], ReportedState(ver=UINT32 // 2, applied=True), NOW)
    later = NOW + 2 * HOUR
    answered = as_message(answer_unknown(session, KEY, held[1], later))
    device = Prescription(EAR)
    assert device.receive(answered, held[1], KEY.public_key(), later.timestamp() * 1_000).applied
    assert (device.limits.amplitude_ua, answered.programme.amplitude_ua) == (2_500, 0)


def test_a_hand_over_takes_what_only_the_device_knows_of(
    session: Session, held: tuple[UUID, str]
) -> None:
    record_report(session, held[1], ReportedState(ver=UINT32 // 2, applied=True), NOW)
    other = Account(email="bob@example.org")
    session.add(other)
    session.flush()
    serial = session.get_one(Device, held[1]).serial
    code = hand_on(session, *held)
    assert isinstance(claim(session, other.id, serial, code, NOW, key=KEY), Claimed)
    cleared = session.scalars(select(DeviceProgramme)).one()
    assert (cleared.ver, cleared.limits) == (UINT32 // 2 + 1, {"amplitude_ua": 0})


@pytest.mark.parametrize(
    "report", [ReportedState(ver=UINT32, applied=False), ReportedState(ver=UINT32, applied=True)]
)
def test_a_lie_uses_up_no_numbers(
    session: Session, held: tuple[UUID, str], report: ReportedState
) -> None:
    known = accepted(session, held, Wanted(current()), 0)
    for minute in range(3):
        at = NOW + minute * ANSWERED_EVERY
        record_report(session, held[1], report, at)
        for device_id in unanswered(session, at):
            answered = answer_unknown(session, KEY, device_id, at).ver
    assert known < answered <= HIGHEST_FOLLOWED + 3
    told = held_device(session, *held).unknown_programme
    assert told is not None
    assert told.ver == UINT32


def test_a_device_that_goes_on_lying_is_answered_now_and_then(
    session: Session, held: tuple[UUID, str]
) -> None:
    answers = 0
    for second in range(130):
        at = NOW + timedelta(seconds=second)
        record_report(session, held[1], ReportedState(ver=10 + second, applied=True), at)
        for device_id in unanswered(session, at):
            answer_unknown(session, KEY, device_id, at)
            answers += 1
    assert answers == 3


def test_numbers_fit_firmware_that_keeps_them_signed() -> None:
    assert (datetime(2088, 1, 1, tzinfo=UTC) - NUMBERED_SINCE).total_seconds() < 2**31
