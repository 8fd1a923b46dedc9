"""The contraindication questions, a person's answers to them, and the lock of a red flag."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.devices import contraindications, screening
from cymba.devices.contraindications import QUESTIONS, Question, must_be_answered, precautions
from cymba.devices.models import MODELS, Model
from cymba.devices.screening import RED_FLAGS, SEEK_CARE
from cymba.devices.tables import RedFlag
from cymba.errors import Conflict
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.fields import Day, Schema, Text, Whole, validation_failed
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.shapes.programmes import LockSchema, lock_shown

blp = Resource("screening", "Contraindications, and what holds a programme back")

ANSWERS = ("no", "yes", "unsure", "cleared")
MAX_NOTE_CHARACTERS = 400


class QuestionSchema(Schema):
    name = ma.fields.String(required=True)
    tier = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["block", "clearance"]),
        metadata={
            "description": "`block`: a yes rules the device out. `clearance`: a clinician must "
            "agree"
        },
    )
    text = ma.fields.String(required=True)


class PrecautionSchema(Schema):
    """To be shown with the questions. It asks for nothing, and an answer to it is refused."""

    name = ma.fields.String(required=True)
    text = ma.fields.String(required=True)


class ModelScreeningSchema(Schema):
    """The questions for one model, and how the person stands with it."""

    model = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    questions = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Their names, in order: each needs an answer"},
    )
    precautions = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "Their names, in order"}
    )
    answers = ma.fields.Dict(
        ma.fields.String(),
        ma.fields.String(validate=ma.validate.OneOf(ANSWERS)),
        required=True,
        allow_none=True,
        metadata={"description": "The latest; null if there are none"},
    )
    text_version = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of the text that was answered"}
    )
    answered_at = ma.fields.DateTime(required=True, allow_none=True)
    expires_at = ma.fields.DateTime(required=True, allow_none=True)
    lock = ma.fields.Nested(LockSchema, required=True, allow_none=True)


class RedFlagSchema(Schema):
    symptom = ma.fields.String(required=True, validate=ma.validate.OneOf(list(RED_FLAGS)))
    title = ma.fields.String(required=True)
    felt_at = ma.fields.DateTime(required=True)
    raised_at = ma.fields.DateTime(required=True)


class ScreeningSchema(Schema):
    text_version = ma.fields.Integer(
        required=True, metadata={"description": "Of the questions' text; answers name it"}
    )
    questions = ma.fields.List(ma.fields.Nested(QuestionSchema), required=True)
    precautions = ma.fields.List(ma.fields.Nested(PrecautionSchema), required=True)
    models = ma.fields.List(ma.fields.Nested(ModelScreeningSchema), required=True)
    red_flags = ma.fields.List(
        ma.fields.Nested(RedFlagSchema),
        required=True,
        metadata={"description": "Those that stand: every programme is locked by them"},
    )
    advice = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "To be shown with a red flag"}
    )


class ScreeningAnswersSchema(Schema):
    model = Text(required=True, validate=ma.validate.OneOf(list(MODELS)))
    text_version = Whole(
        required=True,
        validate=ma.validate.Range(min=1, max=2**31 - 1),
        metadata={"description": "Of the text that the person was shown"},
    )
    answers = ma.fields.Dict(
        Text(validate=ma.validate.Length(max=64)),
        Text(validate=ma.validate.OneOf(ANSWERS)),
        required=True,
        validate=ma.validate.Length(max=100),
        metadata={
            "description": "By question. `unsure` weighs as much as `yes`; `cleared`, which only "
            "those of `clearance` take: yes, and a clinician who knows of it has agreed"
        },
    )


class ReleaseSchema(Schema):
    """What the person declares: a clinician has looked at what they felt."""

    clinician = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=MAX_NOTE_CHARACTERS),
        metadata={"description": "Who has looked at it"},
    )
    seen_on = Day(required=True, metadata={"description": "When; not before the symptom"})


def _question_shown(question: Question) -> dict[str, Any]:
    return {"name": question.name, "tier": question.tier, "text": question.text}


def _precaution_shown(precaution: Question) -> dict[str, Any]:
    return {"name": precaution.name, "text": precaution.text}


ASKED = [question for question in QUESTIONS if question.tier != "situational"]
SHOWN = [question for question in QUESTIONS if question.tier == "situational"]


SCREENING_EXAMPLE = {
    "text_version": 1,
    "questions": [_question_shown(ASKED[0])],
    "precautions": [_precaution_shown(SHOWN[0])],
    "models": [
        {
            "model": "ear_cymba",
            "title": "Ear, cymba conchae",
            "questions": ["active_implant"],
            "precautions": ["driving"],
            "answers": {"active_implant": "no"},
            "text_version": 1,
            "answered_at": "2026-03-01T09:00:00Z",
            "expires_at": "2026-08-28T09:00:00Z",
            "lock": None,
        }
    ],
    "red_flags": [],
    "advice": None,
}
ANSWERS_EXAMPLE = {
    "model": "ear_cymba",
    "text_version": 1,
    "answers": {"active_implant": "no", "seizures": "cleared"},
}


@blp.get("/v1/screening")
@blp.answers(200, ScreeningSchema, example=SCREENING_EXAMPLE)
@blp.etag
def get_screening() -> Response:
    """Read the questions, the latest answers, and what is locked

    No answer proves that a device is safe for somebody; the questions do not replace a clinician.
    """
    with transaction() as session:
        shown = _shown(session, current_account(session).id)
    return tagged(shown, version=contraindications.VERSION)


@blp.put("/v1/screening/answers")
@blp.body(ScreeningAnswersSchema, example=ANSWERS_EXAMPLE)
@blp.answers(200, ScreeningSchema, example=SCREENING_EXAMPLE)
@blp.etag
@blp.if_match
@blp.problems("questions-changed", "screening-incomplete")
def answer_screening(given: dict[str, Any]) -> Response:
    """Answer the questions for a model of device

    Every question of the model needs an answer, and nothing else takes one; earlier answers are
    kept beside these. If-Match names the text that was read: answers to an older one are not taken.
    """
    model = MODELS[given["model"]]
    with transaction() as session:
        account_id = current_account(session).id
        check_preconditions(contraindications.VERSION)
        screening.answer(
            session,
            account_id,
            model,
            given["answers"],
            text_version=given["text_version"],
            now=services().now(),
        )
        shown = _shown(session, account_id)
    return tagged(shown, version=contraindications.VERSION)


@blp.post("/v1/screening/release")
@blp.body(ReleaseSchema, example={"clinician": "Dr. Okafor, cardiology", "seen_on": "2026-03-04"})
@blp.answers(200, ScreeningSchema, example=SCREENING_EXAMPLE)
@blp.etag
@blp.problems("no-red-flag")
def release_red_flags(given: dict[str, Any]) -> Response:
    """Declare that a clinician has looked at a red-flag symptom

    It lifts the lock and stays on record. The contraindication questions must then be answered
    again and a programme be set: no current comes back by itself.
    """
    with transaction() as session:
        account_id = current_account(session).id
        now = services().now()
        standing = screening.standing_red_flags(session, account_id)
        if not standing:
            raise Conflict("No red-flag symptom stands.", code="no-red-flag")
        # `seen_on` is a local day, the rest is in UTC: a day either way may be right.
        latest = max(flag.felt_at for flag in standing)
        if given["seen_on"] < (latest - timedelta(days=1)).date():
            raise validation_failed({"json": {"seen_on": ["Must not be before the symptom."]}})
        if given["seen_on"] > (now + timedelta(days=1)).date():
            raise validation_failed({"json": {"seen_on": ["Must not be in the future."]}})
        note = f"{given['clinician']}, {given['seen_on'].isoformat()}"
        screening.lift_red_flags(session, account_id, note, now)
        shown = _shown(session, account_id)
    return tagged(shown, version=contraindications.VERSION)


def _shown(session: Session, account_id: UUID) -> dict[str, Any]:
    flags = screening.standing_red_flags(session, account_id)
    return {
        "text_version": contraindications.VERSION,
        "questions": [_question_shown(question) for question in ASKED],
        "precautions": [_precaution_shown(precaution) for precaution in SHOWN],
        "models": [_model_shown(session, account_id, model) for model in MODELS.values()],
        "red_flags": [_flag_shown(flag) for flag in flags],
        "advice": SEEK_CARE if flags else None,
    }


def _model_shown(session: Session, account_id: UUID, model: Model) -> dict[str, Any]:
    latest = screening.latest_screening(session, account_id, model)
    return {
        "model": model.name,
        "title": model.title,
        "questions": [question.name for question in must_be_answered(model.sites)],
        "precautions": [precaution.name for precaution in precautions(model.sites)],
        "answers": latest and latest.answers,
        "text_version": latest and latest.text_version,
        "answered_at": latest and latest.answered_at,
        "expires_at": latest and latest.expires_at,
        "lock": lock_shown(screening.standing_lock(session, account_id, model, services().now())),
    }


def _flag_shown(flag: RedFlag) -> dict[str, Any]:
    return {
        "symptom": flag.symptom,
        "title": RED_FLAGS.get(flag.symptom, flag.symptom),
        "felt_at": flag.felt_at,
        "raised_at": flag.raised_at,
    }
