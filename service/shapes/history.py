"""What was done and felt in a stretch of local days, as the API shows it."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import psycopg

from cymba.insights.symptoms import FeltInZone, read_felt, symptoms_rated
from cymba.stimulation.session.history import HistoryPeriod, Period, history
from service.http import out
from service.http.fields import Schema
from service.http.writing import writer


class SymptomRatingSchema(Schema):
    item = out.text("pain_now", "Of the diary")
    mean = out.number(4.5, "Of its ratings, in the item's own points")
    ratings = out.whole(6)


class HistoryPeriodSchema(Schema):
    """null: it is not known of any of the days whether there was a session."""

    first_day = out.day("2026-03-02")
    last_day = out.day("2026-03-08")
    sessions = out.whole(9, null=True)
    sessions_written = out.whole(
        2, "Of them, those that no device recorded: by a phone's timer, or by hand", null=True
    )
    stimulating_min = out.number(135.0, "Minutes with current", null=True)
    delivered_charge_mc = out.number(
        101.2, "In millicoulomb; null also if no session's charge is known", null=True
    )
    days_with_session = out.whole(6)
    days_known = out.whole(7, "Days with a session, and days that certainly had none")
    adherence = out.number(0.857, "`days_with_session / days_known`", null=True)
    complete = out.flag(
        True,
        "No session of it can be missing: what devices recorded is uploaded, and where the person "
        "is the recorder, they said that there was none",
    )
    symptoms = out.many(
        SymptomRatingSchema,
        "Ratings, by the day they were felt on; symptoms without a rating are left out. null for "
        "a share, because the diary has a scope of its own",
        null=True,
        source=out.GIVEN,
    )


_period_shown = writer(HistoryPeriodSchema)
_symptom_shown = writer(SymptomRatingSchema)


def periods_shown(
    line: psycopg.Connection[Any],
    account_id: UUID,
    kinds: Collection[Period],
    first_day: date,
    last_day: date,
    *,
    with_symptoms: bool,
) -> dict[Period, list[dict[str, Any]]]:
    """The periods of each kind, as `HistoryPeriodSchema`, in order. The diary is read once for all.

    Raises:
        Rejected: as `history`.
    """
    found = {kind: history(line, account_id, kind, first_day, last_day) for kind in kinds}
    felt = None
    if with_symptoms:
        # Weeks and months reach beyond the days that were asked for.
        begin = min(periods[0].first_day for periods in found.values())
        end = max(periods[-1].last_day for periods in found.values())
        felt = read_felt(line, account_id, begin, end)
    return {kind: _shown(periods, felt) for kind, periods in found.items()}


def _shown(
    periods: Sequence[HistoryPeriod], felt: Sequence[FeltInZone] | None
) -> list[dict[str, Any]]:
    if felt is None:
        return [_period_shown(period, symptoms=None) for period in periods]
    rated = symptoms_rated(felt, [(period.first_day, period.last_day) for period in periods])
    return [
        _period_shown(period, symptoms=[_symptom_shown(one) for one in in_period])
        for period, in_period in zip(periods, rated, strict=True)
    ]
