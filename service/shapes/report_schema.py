"""What the report for a clinician looks like in the API: made of what other routes show."""

from cymba.devices import screening
from cymba.diary.items import CONDITIONS
from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.words import DISCLAIMER
from cymba.stimulation.wire.messages import END_REASONS
from service.http import out
from service.http.fields import Schema
from service.shapes.courses import SideEffectSchema, ThenAndNowSchema
from service.shapes.experiments import STATUSES, ExperimentResultSchema
from service.shapes.findings import FindingSchema
from service.shapes.history import HistoryPeriodSchema
from service.shapes.programmes import DeviceProgrammeSchema, ProgrammeVersionSchema
from service.shapes.sessions import UnsyncedSchema

MOST_EXPLORATORY, MOST_TRIALS, MOST_RED_FLAGS, MOST_DEVICES, MOST_VERSIONS = 4, 4, 10, 5, 6
MOST_USED = 8  # devices and kinds of device in the list of use


class ReportDeviceUseSchema(Schema):
    """Sessions with one device, or with one kind of device. Neither currents nor levels of two
    models can be compared."""

    device_id = out.text("ey5f0c4e0b7c1d2a39", null=True)
    model = out.text("ear_cymba", null=True, source="model_name")
    model_title = out.text("Ear, cymba conchae", null=True, source=out.GIVEN)
    sessions = out.whole(61)
    sessions_written = out.whole(2, "Of them, those that no device recorded")
    stimulating_min = out.number(915.0, null=True)
    delivered_charge_mc = out.number(686.2, null=True)
    mean_amplitude_ua = out.number(
        2000.0,
        "Of the sessions' `mean_amplitude_ua`, each session alike; below its ends",
        null=True,
        source="amplitude_ua.mean",
    )
    least_amplitude_ua = out.number(1500.0, null=True, source="amplitude_ua.least")
    most_amplitude_ua = out.number(2500.0, null=True, source="amplitude_ua.most")
    mean_native_level = out.number(
        None, "The same of `mean_native_level`", null=True, source="level.mean"
    )
    least_native_level = out.number(None, null=True, source="level.least")
    most_native_level = out.number(None, null=True, source="level.most")
    end_reasons = out.table(
        {"completed": 58, "user_stop": 1},
        "Sessions by how they ended, as far as that is known: names of " + ", ".join(END_REASONS),
        values=out.whole(58),
    )
    incomplete = out.whole(1, "Sessions of whose recording parts are missing")
    doubtful = out.whole(0, "Sessions with `doubts`")
    unsure_times = out.whole(0, "Sessions whose `time_error_ms` is above a minute")


class ReportUseSchema(Schema):
    whole = out.nested(HistoryPeriodSchema, "As `/v1/history` shows the days with `period=whole`")
    period = out.text("week", "That `periods` are of", one_of=["day", "week", "month"])
    periods = out.many(HistoryPeriodSchema, "As `/v1/history` shows them")
    devices = out.many(ReportDeviceUseSchema, f"The {MOST_USED} most used")
    more_devices = out.whole(0)


class ReportSideEffectSchema(Schema):
    """Answers of the days, by how strong it was in the person's own words."""

    item = out.text("tingling", source="item.name")
    title = out.text("Tingling", source=out.GIVEN)
    is_red_flag = out.flag(False, source="item.red_flag")
    answers = out.whole(31)
    mild = out.whole(4)
    moderate = out.whole(1)
    severe = out.whole(0)
    bothersome = out.whole(1)
    first_day = out.day("2026-03-02", "On which it was there", null=True)
    last_day = out.day("2026-03-19", null=True)


class ReportRedFlagSchema(Schema):
    symptom = out.text("chest_pain", one_of=screening.RED_FLAGS)
    title = out.text("Chest pain", source=out.GIVEN)
    felt_at = out.instant("2026-03-01T06:30:00.000000Z")
    lifted_at = out.instant(None, "null: it stands, and every programme is locked", null=True)
    lifted_note = out.text(None, "Who looked at it, by the person's word", null=True)


class ReportConditionSchema(Schema):
    condition = out.text("fibromyalgia", one_of=CONDITIONS, source="name")
    title = out.text("Fibromyalgia", source=out.GIVEN)
    first_day = out.day(None, "That it was noted on; null: before these days", null=True)
    stands = out.flag(True, "It is among those that were noted last")


class ReportTakingSchema(Schema):
    """A medicine or a treatment at one dose, as the person wrote it."""

    name = out.text("Pregabalin")
    dose = out.text("75 mg", null=True)
    days = out.whole(24, "On which it was noted")
    first_day = out.day("2026-03-02")
    last_day = out.day("2026-03-26")
    noted_before = out.flag(True, "Also before these days, at this dose")


class ReportTakingsSchema(Schema):
    items = out.many(ReportTakingSchema, "Those that were noted on the most days")
    more = out.whole(0)


class ReportFindingsSchema(Schema):
    primary = out.many(FindingSchema, "As `/v1/insights/correlations` shows them")
    exploratory = out.many(
        FindingSchema, f"Of these the {MOST_EXPLORATORY} clearest from `moderate` on", example=[]
    )
    disclaimer = out.text(DISCLAIMER)
    method_version = out.text(METHOD_VERSION)
    computed_at = out.instant("2026-06-04T04:10:07.412000Z", null=True)


class ReportTrialSchema(Schema):
    """As `/v1/experiments` shows it."""

    id = out.uuid("c1d2e3f4-a5b6-4789-8abc-def012345678")
    outcome = out.text("pain_now")
    outcome_title = out.text("Pain now", source=out.GIVEN)
    status = out.text("finished", one_of=STATUSES)
    pairs = out.whole(21)
    block_days = out.whole(2)
    first_day = out.day("2026-03-02")
    ended_at = out.instant("2026-05-25T02:00:00.000000Z", null=True)
    comparison_amplitude_ua = out.whole(0, source=out.GIVEN)
    result = out.nested(
        ExperimentResultSchema, "null until the trial has ended", null=True, source=out.GIVEN
    )
    sentence = out.text("The trial is running.", null=True, source=out.GIVEN)


class ReportDeviceSchema(Schema):
    id = out.text("ey5f0c4e0b7c1d2a39", source="device.id")
    serial = out.text("EY4T7KQ2M9XD", source="device.serial")
    model = out.text("ear_cymba", source="device.model")
    model_title = out.text("Ear, cymba conchae", source=out.GIVEN)
    name = out.text("Left ear", source="tenure.name")
    claimed_at = out.instant("2026-03-01T09:40:00.000000Z", source="tenure.claimed_at")
    firmware = out.text("2.4.1", null=True, source=out.GIVEN)
    programme = out.nested(DeviceProgrammeSchema, source=out.GIVEN)
    versions = out.many(
        ProgrammeVersionSchema, f"The latest {MOST_VERSIONS}, the newest first", source=out.GIVEN
    )


class ReportSpanSchema(Schema):
    first_day = out.day("2026-03-09")
    last_day = out.day("2026-03-11")
    days = out.whole(3)


class ReportGapsSchema(Schema):
    days = out.whole(3)
    spans = out.many(ReportSpanSchema, "The longest, in the order of their days")
    more = out.whole(0, "Spans that are not in the list")


class ReportDataGapsSchema(Schema):
    use = out.nested(ReportGapsSchema, "Days of which it is not known whether there was a session")
    ratings = out.nested(ReportGapsSchema, "Days without any rating of a symptom")
    unsynced = out.many(UnsyncedSchema, "As `/v1/sessions` shows them", example=[])


class ReportSchema(Schema):
    """What a clinician may want to know before they see the person. It is no medical record, and
    what the person wrote was checked by nobody."""

    name = out.text("Ada", "The name that the person gave their account; may be empty")
    first_day = out.day("2026-01-05")
    last_day = out.day("2026-04-05")
    made_on = out.day("2026-04-06", "The person's local day")
    time_zone = out.text("Europe/Berlin")
    use = out.nested(ReportUseSchema)
    then_and_now = out.many(
        ThenAndNowSchema,
        "As `/v1/insights/response` shows it. null, like all that `insights` decides: the person "
        "has not agreed to insights",
        null=True,
    )
    side_effects = out.many(ReportSideEffectSchema, "Those that were answered")
    side_effect_courses = out.many(
        SideEffectSchema,
        "As `/v1/insights/side-effects` shows them, where something can be told",
        null=True,
    )
    red_flags = out.many(
        ReportRedFlagSchema, "Of these days, and those that stand; the latest first", example=[]
    )
    conditions = out.many(ReportConditionSchema, "As the person said they were diagnosed")
    medication = out.nested(ReportTakingsSchema)
    other_treatment = out.nested(ReportTakingsSchema, example={"items": [], "more": 0})
    findings = out.nested(ReportFindingsSchema, "Over all days, not those asked for", null=True)
    trials = out.many(ReportTrialSchema, f"The latest {MOST_TRIALS}")
    devices = out.many(ReportDeviceSchema, f"That the person holds: the first {MOST_DEVICES}")
    more_devices = out.whole(0)
    gaps = out.nested(ReportDataGapsSchema)
