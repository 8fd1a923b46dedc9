"""The report for a clinician as the API shows it: all of it made of what other routes show."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.tables import Account
from cymba.accounts.zones import borders
from cymba.database import line_of
from cymba.devices import programme, screening
from cymba.devices.health import BEHIND, devices_behind
from cymba.devices.held_devices import HeldDevice, held_devices
from cymba.devices.tables import RedFlag
from cymba.diary.items import CONDITIONS
from cymba.insights import findings, sentences
from cymba.insights.experiments import trials
from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.responses import Comparison
from cymba.insights.side_effects import load_side_effects
from cymba.insights.statistics import Course, Grade
from cymba.insights.tables import Experiment
from cymba.insights.words import DISCLAIMER
from cymba.reports.gaps import Gaps, gaps
from cymba.reports.noted import Noted, SideEffectNoted
from cymba.reports.use import DeviceUse, use_by_device
from cymba.stimulation.session.history import Period
from cymba.voice import Voice
from service.http.writing import writer
from service.shapes.courses import comparison_shown, side_effect_shown
from service.shapes.experiments import ExperimentResultSchema
from service.shapes.findings import GRADES, clearest_first, finding_shown
from service.shapes.programme_states import programme_shown, version_shown
from service.shapes.report_schema import (
    MOST_DEVICES,
    MOST_EXPLORATORY,
    MOST_RED_FLAGS,
    MOST_TRIALS,
    MOST_USED,
    MOST_VERSIONS,
    ReportConditionSchema,
    ReportDeviceSchema,
    ReportDeviceUseSchema,
    ReportGapsSchema,
    ReportRedFlagSchema,
    ReportSideEffectSchema,
    ReportTakingsSchema,
    ReportTrialSchema,
)
from service.shapes.sessions import unsynced_shown

MOST_OF_PERIOD: dict[Period, int] = {"day": 14, "week": 190}  # days; of more, the next one


class ReportDays(NamedTuple):
    first_day: date
    last_day: date

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    @property
    def kinds(self) -> set[Period]:
        """The kinds of period that a report is made of."""
        return {"day", "whole", self.period}

    @property
    def period(self) -> Period:
        return next((one for one, most in MOST_OF_PERIOD.items() if self.days <= most), "month")


_use_shown = writer(ReportDeviceUseSchema)
_effect_shown = writer(ReportSideEffectSchema)
_flag_shown = writer(ReportRedFlagSchema)
_condition_shown = writer(ReportConditionSchema)
_takings_shown = writer(ReportTakingsSchema)
_trial_shown = writer(ReportTrialSchema)
_result_shown = writer(ExperimentResultSchema)
_device_shown = writer(ReportDeviceSchema)
_gaps_shown = writer(ReportGapsSchema)


def report_shown(
    session: Session,
    account_id: UUID,
    asked: ReportDays,
    periods: dict[Period, list[dict[str, Any]]],
    compared: list[Comparison] | None,
    *,
    voice: Voice,
    now: datetime,
) -> dict[str, Any]:
    """As `ReportSchema`. `periods`: those of `asked.kinds`, as the history shows them.

    `compared`: of `load_responses`; None without consent to insights."""
    account = session.get_one(Account, account_id)
    agreed = compared is not None
    noted = Noted(session, account_id, *asked)
    held = held_devices(session, account_id)
    return {
        "name": account.name,
        "first_day": asked.first_day,
        "last_day": asked.last_day,
        "made_on": now.astimezone(ZoneInfo(account.time_zone)).date(),
        "time_zone": account.time_zone,
        "use": _use(session, account_id, asked, periods, voice),
        "then_and_now": compared and [comparison_shown(one, voice) for one in compared],
        "side_effects": [_effect(one, voice) for one in noted.side_effects()],
        "side_effect_courses": _courses(session, account_id, voice) if agreed else None,
        "red_flags": _red_flags(session, account, asked, voice),
        "conditions": [
            _condition_shown(one, title=voice.translate(CONDITIONS[one.name].title))
            for one in noted.conditions()
        ],
        "medication": _takings_shown(noted.takings("medication")),
        "other_treatment": _takings_shown(noted.takings("other_treatment")),
        "findings": _findings(session, account_id, voice) if agreed else None,
        "trials": [
            _trial(session, one, voice) for one in trials.mine(session, account_id)[:MOST_TRIALS]
        ],
        "devices": [_device(session, account_id, one, voice, now) for one in held[:MOST_DEVICES]],
        "more_devices": max(0, len(held) - MOST_DEVICES),
        "gaps": _gaps(session, account_id, periods["day"]),
    }


def agreed_to_insights(session: Session, account_id: UUID) -> bool:
    return consent.is_given(line_of(session), account_id, "insights")


def _use(
    session: Session,
    account_id: UUID,
    asked: ReportDays,
    periods: dict[Period, list[dict[str, Any]]],
    voice: Voice,
) -> dict[str, Any]:
    devices = use_by_device(session, account_id, *asked)
    return {
        "whole": periods["whole"][0],
        "period": asked.period,
        "periods": periods[asked.period],
        "devices": [_used(one, voice) for one in devices[:MOST_USED]],
        "more_devices": max(0, len(devices) - MOST_USED),
    }


def _used(use: DeviceUse, voice: Voice) -> dict[str, Any]:
    title = voice.title(use.model.titles) if use.model else use.model_name
    return _use_shown(use, model_title=title)


def _effect(noted: SideEffectNoted, voice: Voice) -> dict[str, Any]:
    return _effect_shown(noted, title=voice.translate(noted.item.title))


def _courses(session: Session, account_id: UUID, voice: Voice) -> list[dict[str, Any]]:
    found = load_side_effects(session, account_id)
    return [
        side_effect_shown(one, voice) for one in found if one.trend.course is not Course.NOT_ENOUGH
    ]


def _red_flags(
    session: Session, account: Account, asked: ReportDays, voice: Voice
) -> list[dict[str, Any]]:
    edges = borders(account.time_zone, *asked)
    zone = ZoneInfo(account.time_zone)
    begin, end = (datetime.fromtimestamp(float(edges[at]), zone) for at in (0, -1))

    def shown(flag: RedFlag) -> dict[str, Any]:
        title = screening.RED_FLAGS.get(flag.symptom, flag.symptom)
        return _flag_shown(flag, title=voice.translate(title))

    found = screening.red_flags_between(session, account.id, begin, end, latest=MOST_RED_FLAGS)
    return [shown(flag) for flag in found]


def _findings(session: Session, account_id: UUID, voice: Voice) -> dict[str, Any]:
    line = line_of(session)
    found = findings.shown(line, account_id)
    least = GRADES[Grade.MODERATE]
    clear = sorted(
        (one for one in found if one.tier != "primary" and GRADES[one.grade] >= least),
        key=clearest_first,
    )
    return {
        "primary": [finding_shown(one, voice) for one in found if one.tier == "primary"],
        "exploratory": [finding_shown(one, voice) for one in clear[:MOST_EXPLORATORY]],
        "disclaimer": voice.translate(DISCLAIMER),
        "method_version": METHOD_VERSION,
        "computed_at": findings.computed_at(line, account_id),
    }


def _trial(session: Session, found: Experiment, voice: Voice) -> dict[str, Any]:
    result, sentence = trials.result_of(session, found), None
    if result is not None:
        stopped = found.status == "stopped"
        sentence = sentences.of_trial(
            voice, found.outcome, result, planned_pairs=found.pairs, stopped=stopped
        )
    return _trial_shown(
        found,
        outcome_title=sentences.outcome_title(voice, found.outcome),
        comparison_amplitude_ua=found.plan["arms"]["comparison"]["limits"]["amplitude_ua"],
        result=result and _result_shown(result),
        sentence=sentence,
    )


def _device(
    session: Session, account_id: UUID, held: HeldDevice, voice: Voice, now: datetime
) -> dict[str, Any]:
    state = programme.programme_on(session, account_id, held.device)
    versions = programme.programme_history(session, account_id, held.device.id, limit=MOST_VERSIONS)
    return _device_shown(
        held,
        model_title=voice.title(held.model.titles),
        firmware=held.presence and held.presence.firmware,
        programme=programme_shown(state, held.model, now),
        versions=[version_shown(row, now) for row in versions],
    )


def _gaps(session: Session, account_id: UUID, days: list[dict[str, Any]]) -> dict[str, Any]:
    behind = devices_behind(session.execute(BEHIND, {"account_id": account_id}).all())
    return {
        "use": _gap(day["first_day"] for day in days if day["sessions"] is None),
        "ratings": _gap(day["first_day"] for day in days if not day["symptoms"]),
        "unsynced": [unsynced_shown(one) for one in behind[:MOST_DEVICES]],
    }


def _gap(days: Any) -> dict[str, Any]:
    found: Gaps = gaps(list(days))
    return _gaps_shown(found)
