"""A person's history as it is read and summed up, for tests that are not about reading it."""

from datetime import date
from typing import Any
from uuid import UUID

import psycopg

from cymba.stimulation.session.history import HistoryPeriod, Period, periods, read_done


def history(
    line: psycopg.Connection[Any], account_id: UUID, period: Period, first_day: date, last_day: date
) -> list[HistoryPeriod]:
    done = read_done(line, account_id, [period], first_day, last_day)
    return periods(done, period, first_day, last_day)
