import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork
from cymba.devices.claiming import Claimed, claim, hand_on, release
from cymba.devices.contraindications import must_be_answered
from cymba.devices.issuing import NUMBERED_SINCE
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.programme import (
    Accepted,
    ProgrammeRefused,
    Wanted,
    programme_history,
    programme_state,
    record_report,
    refused_programmes,
    set_programme,
    withhold_current,
)
from cymba.devices.provisioning import provision, reissue_claim_code
from cymba.devices.publication import unpublished
from cymba.devices.red_flags import raise_red_flag
from cymba.devices.screening import answer
from cymba.devices.signing import verify
from cymba.devices.tables import Device, DeviceProgramme, RefusedProgramme
from cymba.errors import NotFound, PreconditionFailed
from cymba.settings import FIRST_CELL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = Ed25519PrivateKey.generate()
EAR = MODELS["ear_cymba"]
V0 = int((NOW - NUMBERED_SINCE).total_seconds()) - 1  # versions set at NOW are V0 + 1, V0 + 2 …


def current(amplitude_ua: int = 1_500, **changed: object) -> Programme:
    return msgspec.structs.replace(usual_programme(EAR), amplitude_ua=amplitude_ua, **changed)


@pytest.fixture
def held(session: Session) -> tuple[UUID, str]:
    """A person who may set a programme, and the device that they hold."""
    return make_held(session)


def make_held(session: Session) -> tuple[UUID, str]:
    person = Account(email="ann@example.org")
    session.add(person)
    (made,) = provision(session, EAR.name)
    session.flush()
    claim(session, person.id, made.serial, made.claim_code, NOW)
    given = {question.name: "no" for question in must_be_answered(EAR.sites)}
    answer(session, person.id, EAR, given, text_version="1/en", now=NOW)  # type: ignore[arg-type]
    return person.id, made.device_id


def put(
    session: Session, held: tuple[UUID, str], wanted: Wanted, if_version: int
) -> Accepted | ProgrammeRefused:
    return set_programme(session, KEY, *held, wanted, if_version=if_version, now=NOW)


def accepted(session: Session, held: tuple[UUID, str], wanted: Wanted, if_version: int) -> int:
    outcome = put(session, held, wanted, if_version)
    assert isinstance(outcome, Accepted), outcome
    return outcome.row.ver


def test_a_programme_becomes_the_next_version_signed(
    session: Session, held: tuple[UUID, str]
) -> None:
    assert programme_state(session, *held).version == 0
    wanted = Wanted(current(), {"amplitude_ua": 3_000}, NOW + 30 * HOUR)
    assert accepted(session, held, wanted, 0) == V0 + 1
    session.commit()
    session.expunge_all()
    ((device_id, desired),) = unpublished(session, FIRST_CELL)
    assert device_id == held[1]
    assert verify(KEY.public_key(), device_id, desired)
    assert (desired.ver, desired.programme, desired.limits) == (V0 + 1, current(), wanted.limits)
    assert desired.expires == (NOW + 30 * HOUR).timestamp() * 1000


def test_the_version_must_be_the_one_seen(session: Session, held: tuple[UUID, str]) -> None:
    accepted(session, held, Wanted(current()), 0)
    for stale in (0, V0, V0 + 2):
        with pytest.raises(PreconditionFailed):
            put(session, held, Wanted(current(1_000)), stale)
    assert accepted(session, held, Wanted(current(1_000)), V0 + 1) == V0 + 2


@pytest.mark.parametrize(
    ("wanted", "code", "pointer"),
    [
        (Wanted(current(8_001)), "beyond-limits", "/programme/amplitude_ua"),
        (
            Wanted(current(2_001), {"amplitude_ua": 2_000}),
            "beyond-limits",
            "/programme/amplitude_ua",
        ),
        (Wanted(current(), {"amplitude_ua": 9_000}), "limits-widened", "/limits/amplitude_ua"),
        (Wanted(current(), {"charisma": 1}), "limits-widened", "/limits/charisma"),
        (Wanted(current(), expires_at=NOW), "expired", "/expires_at"),
    ],
)
def test_what_goes_too_far_is_refused_and_kept(
    session: Session, held: tuple[UUID, str], wanted: Wanted, code: str, pointer: str
) -> None:
    outcome = put(session, held, wanted, 0)
    assert isinstance(outcome, ProgrammeRefused)
    assert outcome.error.code == code
    assert [one["pointer"] for one in outcome.error.errors] == [pointer]
    session.commit()
    kept = session.scalars(select(RefusedProgramme)).one()
    assert (kept.code, kept.programme["amplitude_ua"]) == (code, wanted.programme.amplitude_ua)
    assert pointer in kept.detail
    assert programme_state(session, *held).version == 0
    assert unpublished(session, FIRST_CELL) == []


def test_a_lock_bars_currents_but_not_to_switch_off(
    session: Session, held: tuple[UUID, str]
) -> None:
    raise_red_flag(session, KEY, held[0], "fainting", felt_at=NOW, now=NOW)
    outcome = put(session, held, Wanted(current()), V0 + 1)
    assert isinstance(outcome, ProgrammeRefused)
    assert (outcome.error.code, outcome.error.status) == ("red-flag", 423)
    titrated = put(session, held, Wanted(current(0)), V0 + 1)
    assert isinstance(titrated, ProgrammeRefused)
    kept = session.scalars(select(RefusedProgramme.code)).all()
    assert kept == ["red-flag", "red-flag"]
    assert accepted(session, held, Wanted(current(0), {"amplitude_ua": 0}), V0 + 1) == V0 + 2


def test_only_the_holder_sets_and_sees(session: Session, held: tuple[UUID, str]) -> None:
    stranger = Account(email="eve@example.org")
    session.add(stranger)
    session.flush()
    with pytest.raises(NotFound):
        put(session, (stranger.id, held[1]), Wanted(current()), 0)
    with pytest.raises(NotFound):
        programme_state(session, stranger.id, held[1])
    with pytest.raises(NotFound):
        programme_history(session, stranger.id, held[1])


def test_what_the_device_says_stands_beside_what_is_desired(
    session: Session, held: tuple[UUID, str]
) -> None:
    for version in range(3):
        seen = V0 + version if version else 0
        accepted(session, held, Wanted(current(1_000 + version)), seen)
    device_id = held[1]
    said = ReportedState(ver=V0 + 1, applied=True)
    assert record_report(session, device_id, said, NOW + HOUR) == "recorded"
    refused = ReportedState(ver=V0 + 3, applied=False, code="beyond-limits", detail="set to 1000")
    assert record_report(session, device_id, refused, NOW + 2 * HOUR) == "recorded"
    session.expire_all()
    state = programme_state(session, *held)
    assert state.version == V0 + 3
    assert state.desired is not None
    assert (state.desired.applied, state.desired.code) == (False, "beyond-limits")
    assert state.held is not None
    assert state.held.ver == V0 + 1
    assert not state.in_step
    assert [row.ver for row in programme_history(session, *held)] == [V0 + 3, V0 + 2, V0 + 1]
    assert [row.ver for row in programme_history(session, *held, before=V0 + 3, limit=1)] == [
        V0 + 2
    ]


def test_a_late_report_changes_nothing(session: Session, held: tuple[UUID, str]) -> None:
    accepted(session, held, Wanted(current()), 0)
    device_id = held[1]
    later = ReportedState(ver=V0 + 1, applied=True)
    assert record_report(session, device_id, later, NOW + HOUR) == "recorded"
    earlier = ReportedState(ver=V0 + 1, applied=False, code="in-session")
    assert record_report(session, device_id, earlier, NOW) == "late"
    unknown = ReportedState(ver=9, applied=True)
    assert record_report(session, device_id, unknown, NOW) == "unknown-version"
    assert record_report(session, device_id, earlier, NOW + 2 * HOUR) == "recorded"  # it was reset
    assert record_report(session, device_id, later, NOW + 2 * HOUR) == "recorded"
    session.expire_all()
    assert programme_state(session, *held).in_step


@pytest.mark.parametrize("is_slow_first", [True, False])
def test_bridges_of_different_clocks_take_no_older_report_for_the_later(
    session: Session, held: tuple[UUID, str], is_slow_first: bool
) -> None:
    accepted(session, held, Wanted(current()), 0)
    in_session = ReportedState(ver=V0 + 1, applied=False, code="in-session")
    slow, fast = NOW + timedelta(seconds=1), NOW + timedelta(seconds=4)
    after_it = (ReportedState(ver=V0 + 1, applied=True), slow)
    reports = [(in_session, fast), after_it]
    for report, at in reversed(reports) if is_slow_first else reports:
        record_report(session, held[1], report, at)
    assert programme_state(session, *held).in_step


def test_a_red_flag_takes_the_current_from_every_device(
    session: Session, held: tuple[UUID, str]
) -> None:
    person, device_id = held
    accepted(session, held, Wanted(current(), {"duration_s": 2_000}), 0)
    assert withhold_current(session, KEY, person, NOW) == []
    raise_red_flag(session, KEY, person, "chest_pain", felt_at=NOW, now=NOW)
    assert withhold_current(session, KEY, person, NOW) == []
    ((_, desired),) = unpublished(session, FIRST_CELL)
    assert verify(KEY.public_key(), device_id, desired)
    assert desired.ver == V0 + 2
    assert desired.limits == {"duration_s": 2_000, "amplitude_ua": 0}
    assert desired.programme == current(0)


def test_a_device_without_a_programme_is_withheld_too(
    session: Session, held: tuple[UUID, str]
) -> None:
    raise_red_flag(session, KEY, held[0], "fainting", felt_at=NOW, now=NOW)
    state = programme_state(session, *held)
    assert state.desired is not None
    assert state.desired.limits == {"amplitude_ua": 0}


def handed_on(session: Session, held: tuple[UUID, str], key: Ed25519PrivateKey | None) -> UUID:
    other = Account(email="bob@example.org")
    session.add(other)
    session.flush()
    serial = session.get_one(Device, held[1]).serial
    code = hand_on(session, *held)
    assert isinstance(claim(session, other.id, serial, code, NOW, key=key), Claimed)
    return other.id


def test_a_device_is_handed_on_without_its_programme(
    session: Session, held: tuple[UUID, str]
) -> None:
    accepted(session, held, Wanted(current(2_500), {"amplitude_ua": 3_000}, NOW + HOUR), 0)
    other = handed_on(session, held, KEY)
    ((device_id, cleared),) = unpublished(session, FIRST_CELL)
    assert verify(KEY.public_key(), device_id, cleared)
    assert (cleared.ver, cleared.limits, cleared.expires) == (V0 + 2, {"amplitude_ua": 0}, None)
    assert cleared.programme == current(0)
    state = programme_state(session, other, device_id)
    assert (state.version, state.desired, state.held) == (V0 + 2, None, None)
    assert state.is_earlier_holders
    assert state.limits == {"amplitude_ua": 0}
    refused = ReportedState(ver=V0 + 2, applied=False, code="in-session")
    record_report(session, device_id, refused, NOW)
    assert programme_state(session, other, device_id).is_earlier_holders
    record_report(session, device_id, ReportedState(ver=V0 + 2, applied=True), NOW)
    assert programme_state(session, other, device_id).in_step
    assert not programme_state(session, other, device_id).is_earlier_holders


def test_a_device_passes_through_hands_that_set_nothing_by_one_version(
    session: Session, held: tuple[UUID, str]
) -> None:
    accepted(session, held, Wanted(current()), 0)
    release(session, *held, NOW, key=KEY)
    serial = session.get_one(Device, held[1]).serial
    for account_id in (held[0], held[0]):
        code = reissue_claim_code(session, held[1])
        claim(session, account_id, serial, code, NOW, key=KEY)
    assert programme_state(session, *held).version == V0 + 2
    assert programme_state(session, *held).desired is None  # not even who set it has it back


def test_a_device_that_never_had_a_programme_is_left_as_it_is(
    session: Session, held: tuple[UUID, str]
) -> None:
    other = handed_on(session, held, None)
    assert unpublished(session, FIRST_CELL) == []
    assert programme_state(session, other, held[1]).in_step


def test_an_erased_holders_programme_is_taken_from_the_device_too(
    session: Session, held: tuple[UUID, str]
) -> None:
    device = session.get_one(Device, held[1])
    device.erased_ver = V0 + 7
    other = handed_on(session, held, KEY)
    ((_, cleared),) = unpublished(session, FIRST_CELL)
    assert cleared.ver == V0 + 8
    assert programme_state(session, other, held[1]).version == V0 + 8


def test_a_programme_is_not_handed_on_for_want_of_a_key(
    session: Session, held: tuple[UUID, str]
) -> None:
    accepted(session, held, Wanted(current()), 0)
    with pytest.raises(ValueError, match="signed"):
        handed_on(session, held, None)
    with pytest.raises(ValueError, match="signed"):
        release(session, *held, NOW)


def test_what_was_refused_is_listed_to_who_asked(session: Session, held: tuple[UUID, str]) -> None:
    for amplitude_ua in (9_000, 9_100):
        put(session, held, Wanted(current(amplitude_ua)), 0)
    listed = refused_programmes(session, *held)
    assert [one.programme["amplitude_ua"] for one in listed] == [9_100, 9_000]
    older = refused_programmes(session, *held, before=listed[0].id)
    assert [one.programme["amplitude_ua"] for one in older] == [9_000]


def test_of_two_changes_at_once_one_is_stale(engine: Engine) -> None:
    with UnitOfWork(engine) as session:
        held = make_held(session)
        session.commit()
    outcomes: list[str] = []

    def attempt(amplitude_ua: int) -> None:
        with UnitOfWork(engine) as session, session.begin():
            try:
                put(session, held, Wanted(current(amplitude_ua)), 0)
                outcomes.append("accepted")
            except PreconditionFailed:
                outcomes.append("stale")

    threads = [threading.Thread(target=attempt, args=(1_000 + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted", "stale", "stale", "stale"]
    with UnitOfWork(engine) as session:
        assert session.scalars(select(DeviceProgramme.ver)).all() == [V0 + 1]


@pytest.mark.parametrize("leave", ["release", "claim"])
def test_who_lets_the_device_go_meanwhile_sets_nothing(engine: Engine, leave: str) -> None:
    """The change waits for the hand-over, which changes no version: there was none to take."""
    with UnitOfWork(engine) as session:
        held = make_held(session)
        next_person = Account(email="bob@example.org")
        session.add(next_person)
        serial = session.get_one(Device, held[1]).serial
        code = hand_on(session, *held)
        session.commit()
        next_id = next_person.id
    outcomes: list[str] = []

    def attempt() -> None:
        with UnitOfWork(engine) as session, session.begin():
            try:
                put(session, held, Wanted(current()), 0)
                outcomes.append("accepted")
            except NotFound:
                outcomes.append("not held")

    with UnitOfWork(engine) as session:
        if leave == "release":
            release(session, *held, NOW, key=KEY)
        else:
            assert isinstance(claim(session, next_id, serial, code, NOW, key=KEY), Claimed)
        thread = threading.Thread(target=attempt)
        thread.start()
        while not somebody_waits(engine):
            assert thread.is_alive()
        session.commit()
    thread.join()
    assert outcomes == ["not held"]


def test_a_red_flag_withholds_nothing_of_a_device_that_is_let_go_meanwhile(engine: Engine) -> None:
    with UnitOfWork(engine) as session:
        held = make_held(session)
        session.commit()

    def attempt() -> None:
        with UnitOfWork(engine) as session, session.begin():
            raise_red_flag(session, KEY, held[0], "fainting", felt_at=NOW, now=NOW)

    with UnitOfWork(engine) as session:
        release(session, *held, NOW, key=KEY)
        thread = threading.Thread(target=attempt)
        thread.start()
        while not somebody_waits(engine):
            assert thread.is_alive()
        session.commit()
    thread.join()
    with UnitOfWork(engine) as session:
        assert session.scalars(select(DeviceProgramme)).all() == []


def somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        )
