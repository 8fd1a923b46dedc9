import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork, line_of
from cymba.devices.claiming import (
    ACCOUNT_GUESSES,
    Claimed,
    ClaimThrottled,
    NoMatch,
    claim,
    hand_on,
    load_tenures,
    release,
)
from cymba.devices.models import MODELS
from cymba.devices.provisioning import Credentials, provision, reissue_claim_code
from cymba.devices.tables import DeviceTenure, RetainedWithdrawal
from cymba.errors import NotFound
from tests.devices.conftest import MakeAccount, MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def changes(session: Session, account_id: UUID) -> list[tuple[str, str, bool]]:
    session.commit()
    rows = session.scalars(
        select(Change).where(Change.account_id == account_id).order_by(Change.number)
    )
    return [(row.kind, row.entity_id, row.deleted) for row in rows]


def claimed(session: Session, account_id: UUID, made: Credentials) -> DeviceTenure:
    outcome = claim(session, account_id, made.serial, made.claim_code, NOW)
    assert isinstance(outcome, Claimed)
    return outcome.tenure


def test_a_code_claims_once(session: Session, account: MakeAccount, device: MakeDevice) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    outcome = claim(session, ann, made.serial, made.claim_code, NOW, name="left ear")
    assert isinstance(outcome, Claimed)
    assert (outcome.tenure.account_id, outcome.tenure.name) == (ann, "left ear")
    assert changes(session, ann) == [("device", made.device_id, False)]
    assert claim(session, bob, made.serial, made.claim_code, NOW) == NoMatch()


def test_what_is_wrong_is_not_told(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, made, other = account("ann"), device(), device()
    assert claim(session, ann, made.serial, other.claim_code, NOW) == NoMatch()
    assert claim(session, ann, "EC0000000000", made.claim_code, NOW) == NoMatch()
    assert claim(session, ann, made.serial, "", NOW) == NoMatch()
    assert claim(session, ann, "", "\ud800\x00", NOW) == NoMatch()


def test_a_code_is_typed_as_people_type(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    made = device()
    typed = made.claim_code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    serial = f" {made.serial.lower()} "
    assert isinstance(claim(session, account("ann"), serial, typed, NOW), Claimed)


def test_a_serial_may_begin_with_any_letters(session: Session, account: MakeAccount) -> None:
    """Also with those that a code does not have, as an implant's."""
    ann = account("ann")
    for model in MODELS:
        made = next(provision(session, model))
        assert isinstance(claim(session, ann, made.serial.lower(), made.claim_code, NOW), Claimed)


def test_an_account_that_guesses_must_wait(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    for _ in range(int(ACCOUNT_GUESSES.capacity)):
        assert claim(session, ann, "EC0000000000", "guess", NOW) == NoMatch()
    refused = claim(session, ann, made.serial, made.claim_code, NOW)
    assert isinstance(refused, ClaimThrottled)
    assert 0 < refused.retry_after_s <= ACCOUNT_GUESSES.leak_s
    later = NOW + timedelta(seconds=refused.retry_after_s)
    assert isinstance(claim(session, ann, made.serial, made.claim_code, later), Claimed)
    assert claim(session, bob, made.serial, made.claim_code, NOW) == NoMatch()


def test_strangers_who_guess_at_a_serial_keep_nobody_from_it_who_has_the_code(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    made = device()
    thieves = [account(f"thief-{n}") for n in range(6)]
    for guess in range(6 * int(ACCOUNT_GUESSES.capacity)):
        assert claim(session, thieves[guess % 6], made.serial, "x", NOW) == NoMatch()
    assert isinstance(claim(session, account("ann"), made.serial, made.claim_code, NOW), Claimed)


def test_right_codes_are_not_counted(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann = account("ann")
    for _ in range(3 * int(ACCOUNT_GUESSES.capacity)):
        claimed(session, ann, device())


def test_a_holder_who_claims_again_is_answered_the_same_and_not_counted(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    tenure = claimed(session, ann, made)
    for _ in range(3 * int(ACCOUNT_GUESSES.capacity)):
        again = claim(session, ann, made.serial, made.claim_code, NOW + HOUR, name="another")
        assert again == Claimed(tenure, is_new=False)
    assert isinstance(claim(session, ann, *_code_of(device()), NOW + HOUR), Claimed)
    # A code to hand the device on with stays good.
    code = hand_on(session, ann, made.device_id)
    assert claim(session, ann, made.serial, made.claim_code, NOW) == again
    handed = claim(session, bob, made.serial, code, NOW + HOUR)
    assert isinstance(handed, Claimed)
    assert handed.is_new
    assert claim(session, ann, made.serial, made.claim_code, NOW + HOUR) == NoMatch()


def _code_of(made: Credentials) -> tuple[str, str]:
    return made.serial, made.claim_code


def test_after_a_release_a_new_code_is_needed(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    claimed(session, ann, made)
    with pytest.raises(NotFound):
        release(session, bob, made.device_id, NOW)
    release(session, ann, made.device_id, NOW + HOUR)
    assert changes(session, ann) == [("device", made.device_id, True)]
    with pytest.raises(NotFound):
        release(session, ann, made.device_id, NOW + HOUR)
    assert claim(session, bob, made.serial, made.claim_code, NOW + HOUR) == NoMatch()
    code = reissue_claim_code(session, made.device_id)
    assert isinstance(claim(session, bob, made.serial, code, NOW + HOUR), Claimed)


def test_a_device_is_handed_on_without_a_gap(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    claimed(session, ann, made)
    with pytest.raises(NotFound):
        hand_on(session, bob, made.device_id)
    code = hand_on(session, ann, made.device_id)
    assert load_tenures(line_of(session), made.device_id).holder_at(NOW + HOUR) == ann
    assert isinstance(claim(session, bob, made.serial, code, NOW + HOUR), Claimed)
    assert changes(session, ann) == [("device", made.device_id, True)]
    assert changes(session, bob) == [("device", made.device_id, False)]
    tenures = session.scalars(select(DeviceTenure).order_by(DeviceTenure.claimed_at)).all()
    assert [(one.account_id, one.claimed_at, one.released_at) for one in tenures] == [
        (ann, NOW, NOW + HOUR),
        (bob, NOW + HOUR, None),
    ]


def withdrawals(session: Session) -> list[str]:
    return list(session.scalars(select(RetainedWithdrawal.device_id)))


def test_what_a_broker_retains_of_an_earlier_holders_time_is_withdrawn(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob = account("ann"), account("bob")
    released, handed_on, kept = device(), device(), device()
    for made in (released, handed_on, kept):
        claimed(session, ann, made)
    assert withdrawals(session) == []
    release(session, ann, released.device_id, NOW + HOUR)
    assert withdrawals(session) == [released.device_id]
    code = hand_on(session, ann, handed_on.device_id)
    claim(session, bob, handed_on.serial, code, NOW + HOUR)
    assert sorted(withdrawals(session)) == sorted([released.device_id, handed_on.device_id])


def test_to_claim_what_one_holds_changes_nothing(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, made = account("ann"), device()
    tenure = claimed(session, ann, made)
    code = hand_on(session, ann, made.device_id)
    outcome = claim(session, ann, made.serial, code, NOW + HOUR)
    assert outcome == Claimed(tenure, is_new=False)
    assert tenure.released_at is None


def test_a_moment_belongs_to_its_holder_or_the_next(
    session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    ann, bob, made = account("ann"), account("bob"), device()
    claimed(session, ann, made)
    release(session, ann, made.device_id, NOW + HOUR)
    assert load_tenures(line_of(session), made.device_id).holder_at(NOW + HOUR) is None
    claim(session, bob, made.serial, reissue_claim_code(session, made.device_id), NOW + 3 * HOUR)
    expected = {-1: ann, 0: ann, 0.5: ann, 1: bob, 2: bob, 3: bob, 400: bob}
    tenures = load_tenures(line_of(session), made.device_id)
    for hours, holder in expected.items():
        assert tenures.holder_at(NOW + hours * HOUR) == holder


def test_of_two_who_claim_at_once_one_gets_it(engine: Engine) -> None:
    with UnitOfWork(engine) as session:
        people = [Account(email=f"{n}@example.org") for n in range(6)]
        session.add_all(people)
        (made,) = provision(session, "neck")
        session.commit()
        ids = [person.id for person in people]
    outcomes: list[object] = []

    def attempt(account_id: UUID) -> None:
        with UnitOfWork(engine) as session, session.begin():
            outcomes.append(type(claim(session, account_id, made.serial, made.claim_code, NOW)))

    threads = [threading.Thread(target=attempt, args=(account_id,)) for account_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(one) for one in outcomes) == sorted([str(Claimed)] + [str(NoMatch)] * 5)
    with UnitOfWork(engine) as session:
        assert len(session.scalars(select(DeviceTenure)).all()) == 1


def test_guesses_survive_a_wrong_code_only_if_the_caller_commits(
    session: Session, account: MakeAccount
) -> None:
    ann = account("ann")
    session.commit()
    for _ in range(20):
        claim(session, ann, "EC0000000000", "guess", NOW)
        session.commit()
    assert isinstance(claim(session, ann, "EC0000000000", "guess", NOW), ClaimThrottled)
