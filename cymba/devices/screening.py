"""What holds a programme back: contraindications, answers out of date, red-flag symptoms.

The strictest finding is reported. A lock bars every change of the programme, except one that allows
no current at all; the device itself can always be switched off.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import Prepared, columns_of, line_of
from cymba.devices import contraindications
from cymba.devices.contraindications import Answer, must_be_answered
from cymba.devices.models import Model
from cymba.devices.tables import RedFlag, Screening
from cymba.errors import Locked, Rejected
from cymba.text_version import TextVersion
from cymba.voice import LANGUAGES, said

VALID_FOR = timedelta(days=180)

RED_FLAGS: dict[str, str] = {
    "fainting": "Fainting",
    "chest_pain": "Chest pain",
    "breathlessness": "Breathlessness",
}
SEEK_CARE = (
    "Stop using the device and seek medical care now; in an emergency call your local emergency "
    "number. The programme stays locked until a clinician has looked at it."
)

REPORTED = "{symptom} was reported. {advice}"
NOT_ANSWERED = "The safety questions have not been answered for this device."
ANSWER_AFTER_SYMPTOM = (
    "A serious symptom was reported since the safety questions were answered. Answer them again."
)
QUESTIONS_CHANGED = "The safety questions have changed. Please answer them again."
ANSWERS_TOO_OLD = "Your answers to the safety questions are too old. Please answer them again."
RULED_OUT = (
    "An answer to the safety questions rules this device out. Please talk to your clinician."
)
CLEARANCE_NEEDED = (
    "One of your answers means that a clinician must agree first. Please ask one before you use "
    "this device."
)
NO_CLEARANCE = "No clearance counts for this."
LOCKS = (
    REPORTED, NOT_ANSWERED, ANSWER_AFTER_SYMPTOM, QUESTIONS_CHANGED, ANSWERS_TOO_OLD, RULED_OUT,
    CLEARANCE_NEEDED,
)  # fmt: skip


def answer(
    session: Session,
    account_id: UUID,
    model: Model,
    answers: Mapping[str, Answer],
    *,
    text_version: str,
    now: datetime,
) -> Screening:
    """Keep a person's answers for a model, whatever they are; earlier ones stay too.

    Raises:
        Rejected: another version of the text was answered, a question is missing or unknown, or
            "cleared" stands where no clearance counts.
    """
    read = TextVersion.parse(text_version)
    edition = contraindications.EDITION
    if read is None or read.edition != edition or read.language not in LANGUAGES:
        raise Rejected("The questions have changed: read them again.", code="questions-changed")
    questions = {question.name: question for question in must_be_answered(model.sites)}
    errors = [
        {"pointer": f"/answers/{name}", "detail": "Must be answered."}
        for name in questions
        if name not in answers
    ]
    for name, given in answers.items():
        if name not in questions:
            errors.append({"pointer": f"/answers/{name}", "detail": "This is no question."})
        elif given == "cleared" and questions[name].tier != "clearance":
            errors.append({"pointer": f"/answers/{name}", "detail": NO_CLEARANCE})
    if errors:
        raise Rejected("The answers are not complete.", code="screening-incomplete", errors=errors)
    row = Screening(
        account_id=account_id,
        model=model.name,
        text_version=read.edition,
        text_language=read.language,
        text_digest=contraindications.digest_in(read.language),
        answers=dict(answers),
        answered_at=now,
        expires_at=now + VALID_FOR,
    )
    session.add(row)
    session.flush()
    announce(session, account_id, "screening", model.name)
    return row


class LatestScreening(NamedTuple):
    """A person's latest answers for a model (`Screening`)."""

    model: str
    text_version: int
    text_language: str
    text_digest: bytes
    answers: dict[str, Any]
    answered_at: datetime
    expires_at: datetime


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_LATEST = Prepared(
    select(*columns_of(Screening, LatestScreening))
    .where(Screening.account_id == _ACCOUNT_ID)
    .ext(distinct_on(Screening.model))
    .order_by(Screening.model, Screening.answered_at.desc(), Screening.id)
)


def latest_screenings(
    line: psycopg.Connection[Any], account_id: UUID
) -> dict[str, LatestScreening]:
    """By model, of those that were answered for."""
    rows = map(LatestScreening._make, _LATEST.rows(line, account_id=account_id))
    return {one.model: one for one in rows}


def standing_lock(session: Session, account_id: UUID, model: Model, now: datetime) -> Locked | None:
    """What bars a current from the account's programmes on `model` at `now`, if anything does."""
    line = line_of(session)
    flags = standing_red_flags(line, account_id)
    if flags:
        symptom = RED_FLAGS.get(flags[0].symptom, flags[0].symptom)
        return Locked(said(REPORTED, symptom=symptom, advice=SEEK_CARE), code="red-flag")
    screening = latest_screenings(line, account_id).get(model.name)
    if screening is None:
        return Locked(NOT_ANSWERED, code="screening-required")
    found = _contraindication(model, screening)
    if found is not None:
        return found
    return _staleness(session, account_id, screening, now)


def red_flags_between(
    session: Session, account_id: UUID, begin: datetime, end: datetime, *, latest: int
) -> Sequence[RedFlag]:
    """Those that were felt then, and those that stand; the latest first, so many at most."""
    row = RedFlag
    query = select(row).where(
        row.account_id == account_id,
        row.felt_at < end,
        (row.felt_at >= begin) | row.lifted_at.is_(None),
    )
    return session.scalars(query.order_by(row.felt_at.desc(), row.id).limit(latest)).all()


def lock_safety(session: Session, account_id: UUID) -> None:
    """Let an account raise a red flag and claim a device one after the other. Otherwise the flag
    would miss the device, and the claim the flag."""
    turn = func.hashtextextended(f"safety/{account_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(turn)))


def lift_red_flags(session: Session, account_id: UUID, note: str, now: datetime) -> int:
    """Lift the lock after a clinician has looked (`note` says who and when); how many were lifted.

    The flags stay on record.
    """
    lifted = session.scalars(
        update(RedFlag)
        .where(RedFlag.account_id == account_id, RedFlag.lifted_at.is_(None))
        .values(lifted_at=now, lifted_note=note)
        .returning(RedFlag.id)
    ).all()
    for id_ in lifted:
        announce(session, account_id, "red-flag", id_, deleted=True)
    return len(lifted)


def has_red_flag(session: Session, account_id: UUID) -> bool:
    return bool(standing_red_flags(line_of(session), account_id))


class StandingRedFlag(NamedTuple):
    """A red flag that was not lifted (`RedFlag`)."""

    id: UUID
    symptom: str
    felt_at: datetime
    raised_at: datetime


_STANDING = Prepared(
    select(*columns_of(RedFlag, StandingRedFlag))
    .where(RedFlag.account_id == _ACCOUNT_ID, RedFlag.lifted_at.is_(None))
    .order_by(RedFlag.raised_at, RedFlag.id)
)


def standing_red_flags(line: psycopg.Connection[Any], account_id: UUID) -> list[StandingRedFlag]:
    """The oldest first."""
    return list(map(StandingRedFlag._make, _STANDING.rows(line, account_id=account_id)))


def _staleness(
    session: Session, account_id: UUID, screening: LatestScreening, now: datetime
) -> Locked | None:
    """Why answers that rule nothing out must be given again."""
    # After a red flag, even a lifted one, the person may answer differently.
    flagged_since = select(RedFlag.id).where(
        RedFlag.account_id == account_id, RedFlag.raised_at > screening.answered_at
    )
    if session.scalar(flagged_since.limit(1)) is not None:
        return Locked(ANSWER_AFTER_SYMPTOM, code="screening-outdated")
    if screening.text_digest != contraindications.digest_in(screening.text_language):
        return Locked(QUESTIONS_CHANGED, code="screening-outdated")
    if screening.expires_at <= now:
        return Locked(ANSWERS_TOO_OLD, code="screening-expired")
    return None


def _contraindication(model: Model, screening: LatestScreening) -> Locked | None:
    """What the answers rule out. They count until they are given again, even if the text
    changed."""
    given = screening.answers
    asked = must_be_answered(model.sites)
    named = {
        tier: [
            one for one in asked if one.tier == tier and given.get(one.name) in {"yes", "unsure"}
        ]
        for tier in ("block", "clearance")
    }
    if named["block"]:
        return Locked(RULED_OUT, code="contraindicated", errors=_pointed(named["block"]))
    if named["clearance"]:
        errors = _pointed(named["clearance"])
        return Locked(CLEARANCE_NEEDED, code="clearance-needed", errors=errors)
    return None


def _pointed(questions: list[contraindications.Question]) -> list[dict[str, str]]:
    return [{"pointer": f"/answers/{one.name}", "detail": one.text} for one in questions]
