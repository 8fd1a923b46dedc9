"""What was done and felt in a stretch of local days, as the API shows it."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from cymba.insights.symptoms import FeltInZone, read_done_and_felt, symptoms_rated
from cymba.stimulation.session.history import HistoryPeriod, Period, periods, read_done
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


class PeriodsShown(NamedTuple):
    """`of_kind`: the periods of each kind, as `HistoryPeriodSchema`, in order."""

    time_zone: str | None  # the account's; null: it is gone, or the sign-in has ended
    of_kind: dict[Period, list[dict[str, Any]]]


def periods_shown(
    line: psycopg.Connection[Any],
    account_id: UUID,
    kinds: Collection[Period],
    first_day: date,
    last_day: date,
    *,
    with_symptoms: bool,
    family_id: UUID | None = None,
) -> PeriodsShown:
    """All is read once for all the kinds. `family_id`: the sign-in; None: the caller has checked.

    Raises:
        Rejected: as `periods`.
    """
    done, felt = (
        read_done_and_felt(line, account_id, kinds, first_day, last_day, family_id=family_id)
        if with_symptoms
        else (read_done(line, account_id, kinds, first_day, last_day, family_id=family_id), None)
    )
    return PeriodsShown(
        done.time_zone,
        {kind: _shown(periods(done, kind, first_day, last_day), felt) for kind in kinds},
    )


def _shown(
    found: Sequence[HistoryPeriod], felt: Sequence[FeltInZone] | None
) -> list[dict[str, Any]]:
    if felt is None:
        return [_period_shown(period, symptoms=None) for period in found]
    rated = symptoms_rated(felt, [(period.first_day, period.last_day) for period in found])
    return [
        _period_shown(period, symptoms=[_symptom_shown(one) for one in in_period])
        for period, in_period in zip(found, rated, strict=True)
    ]
