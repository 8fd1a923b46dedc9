"""The contraindication questions, a person's answers to them, and the lock of a red flag."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.devices import contraindications, red_flags, screening
from cymba.devices.catalogue import all_models, find_model
from cymba.devices.contraindications import QUESTIONS, must_be_answered, precautions
from cymba.devices.models import Model
from cymba.devices.screening import RED_FLAGS, SEEK_CARE, LatestScreening, StandingRedFlag
from cymba.errors import Rejected
from cymba.text_version import TextVersion
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.examples import described
from service.http.fields import Day, Schema, Text
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import in_order, writer
from service.shapes.programmes import ProgrammeLockSchema, lock_shown

blp = Resource("screening", "Contraindications, and what holds a programme back")

ANSWERS = ("no", "yes", "unsure", "cleared")
MAX_NOTE_CHARACTERS = 400


ASKED = [question for question in QUESTIONS if question.tier != "situational"]
SHOWN = [question for question in QUESTIONS if question.tier == "situational"]


class ScreeningQuestionSchema(Schema):
    name = out.text(ASKED[0].name)
    tier = out.text(
        ASKED[0].tier,
        "`block`: a yes rules the device out. `clearance`: a clinician must agree",
        one_of=["block", "clearance"],
    )
    text = out.text(ASKED[0].text, source=out.GIVEN)


class ScreeningPrecautionSchema(Schema):
    """To be shown with the questions. It asks for nothing, and an answer to it is refused."""

    name = out.text(SHOWN[0].name)
    text = out.text(SHOWN[0].text, source=out.GIVEN)


class ModelScreeningSchema(Schema):
    """The questions for one model, and the person's latest answers."""

    model = out.text("ear_cymba")
    title = out.text("Ear, cymba conchae")
    questions = out.many(out.text("active_implant"), "Their names, in order: each needs an answer")
    precautions = out.many(out.text("driving"), "Their names, in order")
    answers = out.table(
        {"active_implant": "no"},
        "The latest; null if there are none",
        null=True,
        values=out.text("no", one_of=ANSWERS),
    )
    text_version = out.text("1/en", "Of the text that was answered", null=True)
    answered_at = out.instant("2026-03-01T09:00:00.000000Z", null=True)
    expires_at = out.instant("2026-08-28T09:00:00.000000Z", null=True)
    lock = out.nested(ProgrammeLockSchema, null=True, example=None)


class RedFlagSchema(Schema):
    symptom = out.text("chest_pain", one_of=RED_FLAGS)
    title = out.text("Chest pain", source=out.GIVEN)
    felt_at = out.instant("2026-03-01T06:30:00.000000Z")
    raised_at = out.instant("2026-03-01T06:31:12.000000Z")


class ScreeningSchema(Schema):
    text_version = out.text(
        "1/en", "Of the questions' text, with the language it is in; answers name it"
    )
    questions = out.many(ScreeningQuestionSchema)
    precautions = out.many(ScreeningPrecautionSchema)
    models = out.many(ModelScreeningSchema)
    red_flags = out.many(
        RedFlagSchema, "Those that stand: every programme is locked by them", example=[]
    )
    advice = out.text(None, "To be shown with a red flag", null=True)


class ScreeningAnswersSchema(Schema):
    model = Text(required=True, validate=ma.validate.Length(max=32), example="ear_cymba")
    text_version = Text(
        required=True,
        validate=ma.validate.Length(max=16),
        about="Of the text that the person was shown",
        example="1/en",
    )
    answers = ma.fields.Dict(
        Text(validate=ma.validate.Length(max=64)),
        Text(validate=ma.validate.OneOf(ANSWERS)),
        required=True,
        validate=ma.validate.Length(max=100),
        metadata=described(
            "By question. `unsure` weighs as much as `yes`; `cleared`, which only those of "
            "`clearance` take: yes, and a clinician who knows of it has agreed",
            {"active_implant": "no", "seizures": "cleared"},
        ),
    )


class RedFlagReleaseSchema(Schema):
    """What the person declares: a clinician has looked at what they felt."""

    clinician = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=MAX_NOTE_CHARACTERS),
        about="Who has looked at it",
        example="Dr. Okafor, cardiology",
    )
    seen_on = Day(required=True, about="When; not before the symptom", example="2026-03-04")


_question_shown = writer(ScreeningQuestionSchema)
_precaution_shown = writer(ScreeningPrecautionSchema)
_red_flag_shown = writer(RedFlagSchema)


@blp.get("/v1/screening")
@blp.answers(200, ScreeningSchema)
@blp.etag
def get_screening() -> Response:
    """Read the questions, the latest answers, and what is locked

    No answer proves that a device is safe for somebody; the questions do not replace a clinician.
    """
    with transaction() as session:
        shown = _shown(session, current_account(session).id)
    return tagged(shown, version=contraindications.EDITION)


@blp.put("/v1/screening/answers")
@blp.body(ScreeningAnswersSchema)
@blp.answers(200, ScreeningSchema)
@blp.etag
@blp.if_match
@blp.problems("questions-changed", "screening-incomplete")
def answer_screening(given: dict[str, Any]) -> Response:
    """Answer the questions for a model of device

    Every question of the model needs an answer, and nothing else takes one; earlier answers are
    kept beside these. If-Match names the text that was read: answers to an older one are not taken.
    """
    with transaction() as session:
        model = find_model(session, given["model"])
        if model is None:
            errors = [{"pointer": "/model", "detail": "there is no such model"}]
            raise Rejected("The answers were not saved.", code="validation", errors=errors)
        account_id = current_account(session).id
        check_preconditions(contraindications.EDITION)
        screening.answer(
            session,
            account_id,
            model,
            given["answers"],
            text_version=given["text_version"],
            now=services().now(),
        )
        shown = _shown(session, account_id)
    return tagged(shown, version=contraindications.EDITION)


@blp.post("/v1/screening/release")
@blp.repeatable
@blp.body(RedFlagReleaseSchema)
@blp.answers(200, ScreeningSchema)
@blp.etag
@blp.problems("no-red-flag")
def release_red_flags(given: dict[str, Any]) -> Response:
    """Declare that a clinician has looked at a red-flag symptom

    It lifts the lock and stays on record. The contraindication questions must then be answered
    again and a programme be set: no current comes back by itself.
    """
    with transaction() as session:
        account_id = current_account(session).id
        red_flags.release_red_flags(session, account_id, **given, now=services().now())
        shown = _shown(session, account_id)
    return tagged(shown, version=contraindications.EDITION)


def _shown(session: Session, account_id: UUID) -> dict[str, Any]:
    line, voice = line_of(session), spoken()
    flags = screening.standing_red_flags(line, account_id)
    latest = screening.latest_screenings(line, account_id)
    return {
        "text_version": str(contraindications.version_in(voice.language)),
        "questions": [
            _question_shown(question, text=voice.translate(question.text)) for question in ASKED
        ],
        "precautions": [
            _precaution_shown(precaution, text=voice.translate(precaution.text))
            for precaution in SHOWN
        ],
        "models": [
            _model_shown(session, account_id, model, latest.get(model.name))
            for model in all_models(session)
        ],
        "red_flags": [_flag_shown(flag) for flag in flags],
        "advice": voice.translate(SEEK_CARE) if flags else None,
    }


def _model_shown(
    session: Session, account_id: UUID, model: Model, latest: LatestScreening | None
) -> dict[str, Any]:
    return {
        "model": model.name,
        "title": spoken().title(model.titles),
        "questions": [question.name for question in must_be_answered(model.sites)],
        "precautions": [precaution.name for precaution in precautions(model.sites)],
        "answers": latest and in_order(latest.answers),
        "text_version": latest and str(TextVersion(latest.text_version, latest.text_language)),
        "answered_at": latest and latest.answered_at,
        "expires_at": latest and latest.expires_at,
        "lock": lock_shown(screening.standing_lock(session, account_id, model, services().now())),
    }


def _flag_shown(flag: StandingRedFlag) -> dict[str, Any]:
    return _red_flag_shown(
        flag, title=spoken().translate(RED_FLAGS.get(flag.symptom, flag.symptom))
    )
