from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices import contraindications
from cymba.devices.contraindications import (
    EDITION,
    QUESTIONS,
    Answer,
    digest_in,
    must_be_answered,
    version_in,
)
from cymba.devices.models import MODELS
from cymba.devices.red_flags import raise_red_flag
from cymba.devices.screening import (
    RED_FLAGS,
    VALID_FOR,
    answer,
    lift_red_flags,
    standing_lock,
)
from cymba.devices.tables import RedFlag, Screening
from cymba.errors import Rejected
from cymba.voice import LANGUAGES
from tests.devices.conftest import MakeAccount

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
EAR, NECK = MODELS["ear_cymba"], MODELS["neck"]


def answers(**given: Answer) -> dict[str, Answer]:
    return {question.name: "no" for question in must_be_answered(EAR.sites)} | given  # type: ignore[return-value]


def lock_code(session: Session, account_id: UUID, at: datetime = NOW) -> str | None:
    lock = standing_lock(session, account_id, EAR, at)
    return lock.code if lock else None


def screen(session: Session, account_id: UUID, at: datetime = NOW, **given: Answer) -> None:
    answer(session, account_id, EAR, answers(**given), text_version=f"{EDITION}/en", now=at)


def test_the_text_and_its_version_go_together() -> None:
    """Whoever changes a word, in whichever language, raises EDITION and writes the new digests."""
    known = {
        "1/en": "0d20da5cd86d1f047e0792d629c1d5339a058b106b6447375c61bf51dccaf6c7",
        "1/de": "e852cf74fce2b210b1b7466798851f5625ca5811ba77f052677abeb943c9ec9d",
    }
    assert {str(version_in(one)): digest_in(one).hex() for one in LANGUAGES} == known


def test_the_questions_are_those_of_the_device() -> None:
    ear = {question.name for question in must_be_answered(EAR.sites)}
    neck = {question.name for question in must_be_answered(NECK.sites)}
    assert neck - ear == {"carotid_disease", "neck_surgery"}
    assert len(QUESTIONS) == len({question.name for question in QUESTIONS})


def test_without_answers_all_is_locked(session: Session, account: MakeAccount) -> None:
    ann = account("ann")
    assert lock_code(session, ann) == "screening-required"
    screen(session, ann)
    assert lock_code(session, ann) is None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"pregnancy": "yes"}, "contraindicated"),
        ({"active_implant": "unsure"}, "contraindicated"),
        ({"seizures": "yes"}, "clearance-needed"),
        ({"seizures": "unsure"}, "clearance-needed"),
        ({"seizures": "cleared"}, None),
        ({"seizures": "yes", "pregnancy": "yes"}, "contraindicated"),
        ({"seizures": "cleared", "cancer": "yes"}, "clearance-needed"),
    ],
)
def test_the_strictest_answer_wins(
    session: Session, account: MakeAccount, given: dict[str, Answer], code: str | None
) -> None:
    ann = account("ann")
    screen(session, ann, **given)  # type: ignore[arg-type]
    assert lock_code(session, ann) == code


def test_a_lock_names_its_question(session: Session, account: MakeAccount) -> None:
    ann = account("ann")
    screen(session, ann, pregnancy="yes")
    lock = standing_lock(session, ann, EAR, NOW)
    assert lock is not None
    assert [one["pointer"] for one in lock.errors] == ["/answers/pregnancy"]


def test_answers_are_for_one_model(session: Session, account: MakeAccount) -> None:
    ann = account("ann")
    screen(session, ann)
    lock = standing_lock(session, ann, NECK, NOW)
    assert lock is not None
    assert lock.code == "screening-required"


def test_answers_grow_old(session: Session, account: MakeAccount) -> None:
    ann = account("ann")
    screen(session, ann)
    assert lock_code(session, ann, NOW + VALID_FOR - timedelta(seconds=1)) is None
    assert lock_code(session, ann, NOW + VALID_FOR) == "screening-expired"
    screen(session, ann, NOW + VALID_FOR)
    assert lock_code(session, ann, NOW + VALID_FOR) is None
    assert len(session.scalars(select(Screening)).all()) == 2


def test_another_text_asks_again_but_forgets_no_contraindication(
    session: Session, account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = account("ann"), account("bob")
    screen(session, ann)
    screen(session, bob, pregnancy="yes")
    monkeypatch.setattr(contraindications, "digest_in", lambda _: b"another text")
    assert lock_code(session, ann) == "screening-outdated"
    assert lock_code(session, bob) == "contraindicated"


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({}, "/answers/active_implant"),
        (answers() | {"horoscope": "yes"}, "/answers/horoscope"),
        (answers(pregnancy="cleared"), "/answers/pregnancy"),
        (answers() | {"driving": "yes"}, "/answers/driving"),
    ],
)
def test_incomplete_answers_are_refused(
    session: Session, account: MakeAccount, given: dict[str, Answer], pointer: str
) -> None:
    with pytest.raises(Rejected) as caught:
        answer(session, account("ann"), EAR, given, text_version=f"{EDITION}/en", now=NOW)
    assert caught.value.errors[0]["pointer"] == pointer


def test_answers_to_another_text_are_refused(session: Session, account: MakeAccount) -> None:
    with pytest.raises(Rejected) as caught:
        answer(session, account("ann"), EAR, answers(), text_version=f"{EDITION + 1}/en", now=NOW)
    assert caught.value.code == "questions-changed"


def test_a_red_flag_locks_until_it_is_lifted(session: Session, account: MakeAccount) -> None:
    ann = account("ann")
    screen(session, ann)
    for symptom in RED_FLAGS:
        raise_red_flag(session, KEY, ann, symptom, felt_at=NOW, now=NOW)
        raise_red_flag(session, KEY, ann, symptom, felt_at=NOW, now=NOW)
    lock = standing_lock(session, ann, EAR, NOW)
    assert lock is not None
    assert lock.code == "red-flag"
    assert "seek medical care" in lock.detail
    assert lift_red_flags(session, ann, "seen by a cardiologist", NOW) == len(RED_FLAGS)
    assert lift_red_flags(session, ann, "again", NOW) == 0
    assert lock_code(session, ann) is None
    kept = session.scalars(select(RedFlag)).all()
    assert {flag.lifted_note for flag in kept} == {"seen by a cardiologist"}


def test_after_a_red_flag_the_questions_are_asked_again(
    session: Session, account: MakeAccount
) -> None:
    ann = account("ann")
    screen(session, ann)
    later = NOW + timedelta(minutes=1)
    raise_red_flag(session, KEY, ann, "fainting", felt_at=NOW, now=later)
    lift_red_flags(session, ann, "seen by a cardiologist", later)
    assert lock_code(session, ann, later) == "screening-outdated"
    screen(session, ann, later, fainting="cleared")
    assert lock_code(session, ann, later) is None


def test_only_red_flags_are_raised(session: Session, account: MakeAccount) -> None:
    with pytest.raises(Rejected):
        raise_red_flag(session, KEY, account("ann"), "headache", felt_at=NOW, now=NOW)
