"""What a trial, its plan and its result look like in the API."""

from typing import get_args

import marshmallow as ma

from cymba.insights.experiments.preview import OFFERED
from cymba.insights.experiments.results import LEAST_ADHERENCE, DeviationCode
from cymba.insights.experiments.trials import MAX_PAIRS
from cymba.insights.outcomes import PRIMARY_OUTCOMES
from cymba.insights.statistics.trial import MIN_PAIRS
from cymba.stimulation.wire.messages import DEVICE_ID_PATTERN
from service.http import out
from service.http.examples import described, example_of
from service.http.fields import Pattern, Schema, Text, Whole
from service.shapes.programmes import (
    BeforeTrialSchema,
    ProgrammeLimitsSchema,
    ShownProgrammeSchema,
    before_trial_field,
)

MAX_BLOCK_DAYS = 14
STATUSES = ("running", "stopped", "finished")

_DEVICE = "ey5f0c4e0b7c1d2a39"


def _outcome() -> Text:
    return Text(required=True, validate=ma.validate.OneOf(PRIMARY_OUTCOMES), example="pain_now")


def _block_days() -> Whole:
    return Whole(
        load_default=OFFERED[0].block_days,
        validate=ma.validate.Range(min=1, max=MAX_BLOCK_DAYS),
        about="Days of one block",
        example=2,
    )


def _pairs() -> Whole:
    return Whole(
        load_default=OFFERED[0].pairs,
        validate=ma.validate.Range(min=MIN_PAIRS, max=MAX_PAIRS),
        about="Short blocks need more than six: `least_pairs` of the preview",
        example=21,
    )


class ExperimentPlanChoiceSchema(Schema):
    pairs = _pairs()
    block_days = _block_days()


class ExperimentPowerRequestSchema(Schema):
    outcome = _outcome()
    plans = ma.fields.List(
        ma.fields.Nested(ExperimentPlanChoiceSchema),
        load_default=lambda: [plan._asdict() for plan in OFFERED],
        validate=ma.validate.Length(min=1, max=4),
        metadata=described("The two that are offered if absent"),
    )


class ExperimentPowerSchema(Schema):
    """By simulation of the very test, with people who rate and stimulate as this person does."""

    pairs = out.whole(21, source="plan.pairs")
    block_days = out.whole(2, source="plan.block_days")
    days = out.whole(84)
    smallest_difference = out.number(
        1.12,
        "That the trial finds with probability .8, in points; null: none that is worth a trial",
        null=True,
    )
    power = out.number(0.72, "The probability of finding `minimal_difference`")
    minimal_difference = out.number(1.0, "The smallest that matters, in points")
    least_pairs = out.whole(
        10, "A trial of such blocks takes no fewer: gaps cost whole pairs", source=out.GIVEN
    )
    sd = out.number(1.6, "Of a morning's rating, in points", source="habits.sd")
    phi = out.number(0.55, "How much a morning resembles the one before", source="habits.phi")
    rated = out.number(0.84, "Share of mornings with a rating", source="habits.rated")
    rated_again = out.number(
        0.88, "The same of mornings after one with a rating", source="habits.rated_again"
    )
    used = out.number(0.91, "Share of days with a session, where it is known", source="habits.used")
    from_own_diary = out.flag(
        True, "false: the diary is too short, usual values", source="habits.from_own_diary"
    )


class ExperimentPowersSchema(Schema):
    items = out.many(ExperimentPowerSchema)


class ExperimentRequestSchema(Schema):
    device_id = Text(required=True, validate=Pattern(DEVICE_ID_PATTERN), example=_DEVICE)
    outcome = _outcome()
    pairs = _pairs()
    block_days = _block_days()
    comparison_amplitude_ua = Whole(
        load_default=0,
        validate=ma.validate.Range(min=0, max=60_000),
        about="The most current in comparison blocks; 0: off",
        example=0,
    )


class ExperimentStopSchema(Schema):
    reason = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=200),
        example="I do not want to go on",
    )


class ExperimentBlockSchema(Schema):
    number = out.whole(0)
    pair = out.whole(0)
    first_day = out.day("2026-03-02")
    last_day = out.day("2026-03-03")
    arm = out.text(
        "comparison",
        "null until it can be agreed to, and without the seed",
        null=True,
        one_of=["full", "comparison"],
        source=out.GIVEN,
    )
    agreed_at = out.instant("2026-03-01T20:11:00.000000Z", null=True, source=out.GIVEN)
    programme_version = out.whole(4, null=True, source=out.GIVEN)


class ExperimentArmSchema(Schema):
    """What the device is set to in the blocks of one arm."""

    programme = out.nested(ShownProgrammeSchema)
    limits = out.nested(
        ProgrammeLimitsSchema,
        "Narrower than the model's; those left out are the model's",
        example={"amplitude_ua": 4000},
    )


_OFF = {
    "programme": example_of(ShownProgrammeSchema, amplitude_ua=0),
    "limits": {"amplitude_ua": 0},
}


class ExperimentArmsSchema(Schema):
    full = out.nested(ExperimentArmSchema)
    comparison = out.nested(ExperimentArmSchema, example=_OFF)


class ExperimentPlanSchema(Schema):
    """All that was decided before the start, as it was sealed: to check the seal, write it as JSON
    with its names in order and without spaces, every number as it stands here."""

    outcome = out.text("pain_now")
    device_id = out.text(_DEVICE)
    pairs = out.whole(21)
    block_days = out.whole(2)
    first_day = out.day("2026-03-02")
    time_zone = out.text("Europe/Berlin", "IANA; its days begin at 04:00 there")
    arms = out.nested(ExperimentArmsSchema)
    test = out.text(
        "randomisation over pairs, two-sided, 0.05, by the blocks as planned", "In words"
    )


class ExperimentDeviationSchema(Schema):
    """Where a block that is over was not lived as planned."""

    block = out.whole(0, "Its `number`")
    code = out.text("no_session", one_of=get_args(DeviationCode))
    days = out.whole(1, "Days of the block that it concerns")


class TestedSchema(Schema):
    """null: fewer than six pairs have ratings in both of their blocks."""

    effect = out.number(
        -0.84,
        "Full minus comparison days, in points of the outcome on the next morning",
        null=True,
    )
    low = out.number(
        -1.43,
        "Of the 95 % interval of `effect`; null also where it has no lower end",
        null=True,
    )
    high = out.number(-0.24, "Its upper end; null also where it has none", null=True)
    p = out.number(0.0117, "Two-sided, of the randomisation test over the pairs", null=True)
    pairs = out.whole(21, "With ratings in both of their blocks")
    n = out.whole(79, "Rated days in these pairs")


class ExperimentSensitivitySchema(TestedSchema):
    """The same without the first days of each block, where the last block may linger."""

    left_out_days = out.whole(1, "Of each block")


class ExperimentResultSchema(TestedSchema):
    """By the plan, whatever was really done. null: fewer than six pairs can be compared."""

    sensitivity = out.nested(
        ExperimentSensitivitySchema,
        example=example_of(ExperimentSensitivitySchema, effect=-0.91, n=40),
    )
    completed_pairs = out.whole(21, "That were over when the trial ended")
    blocks = out.whole(42, "Of these pairs")
    delivered_blocks = out.whole(
        40, "Of these, that brought the dose that was drawn, by the sessions"
    )
    carried_out = out.flag(
        True,
        f"At least {LEAST_ADHERENCE:.0%} of the blocks brought it, and at least six pairs can be "
        "compared. false: the numbers show no difference, whatever they are",
    )
    planned_days = out.whole(84, "Of these pairs")
    rated_days = out.whole(79, "Of these with a rating the next morning")
    input_hash = out.text(
        "6d0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
        "Of the ratings and the plan it was made from",
    )
    deviations = out.many(ExperimentDeviationSchema, "As they were known when the trial ended")


class ExperimentSchema(Schema):
    id = out.uuid("c1d2e3f4-a5b6-4789-8abc-def012345678")
    device_id = out.text(_DEVICE)
    outcome = out.text("pain_now")
    pairs = out.whole(21)
    block_days = out.whole(2)
    comparison_amplitude_ua = out.whole(0, source=out.GIVEN)
    first_day = out.day("2026-03-02")
    time_zone = out.text("Europe/Berlin")
    plan = out.nested(ExperimentPlanSchema, source=out.GIVEN)
    seal = out.text(
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "SHA-256 of the seed followed by the plan as canonical JSON",
    )
    seed = out.text(
        None,
        "Hexadecimal; revealed when the trial has ended. null also of one that ran when its "
        "account came here from another Cymba, where the seed stayed",
        null=True,
        source=out.GIVEN,
    )
    status = out.text("running", one_of=STATUSES)
    stop_reason = out.text(None, null=True)
    sealed_at = out.instant("2026-03-01T18:00:00.000000Z")
    ended_at = out.instant(None, null=True)
    blocks = out.many(ExperimentBlockSchema, source=out.GIVEN)
    deviations = out.many(
        ExperimentDeviationSchema,
        "Where blocks that are over were not lived as planned",
        source=out.GIVEN,
    )
    result = out.nested(
        ExperimentResultSchema,
        "null until the trial has ended, and of one whose seed is not here",
        null=True,
        source=out.GIVEN,
        example=None,
    )
    before_trial = before_trial_field()
    sentence = out.text(
        None, "The result in the account's language; show it whole", null=True, source=out.GIVEN
    )
    version = out.whole(2)


ENDED_EXAMPLE = example_of(
    ExperimentSchema,
    status="finished",
    seed="c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00",
    ended_at="2026-05-27T02:00:10.000000Z",
    result=example_of(ExperimentResultSchema),
    before_trial=example_of(BeforeTrialSchema),
    sentence="Your own trial had 21 pairs of blocks. In blocks with the full programme, pain now "
    "was 0.8 points lower on average (0.2 to 1.4; p = 0.012).",
    version=30,
)


class ExperimentsSchema(Schema):
    items = out.many(ExperimentSchema)
