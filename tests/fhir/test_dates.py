"""Search by time, as R4 has it: what was given spans a time, and so does what is found."""

from datetime import UTC, datetime

import pytest

from cymba.fhir.dates import DateTest
from cymba.fhir.parts import date_time
from cymba.fhir.record import RowsWanted
from cymba.fhir.search import Search
from tests.fhir.conftest import read_whole


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "start", "end", "is_found"),
    [
        # a moment within the day that was asked for
        ("2026-03-01", "2026-03-01T23:59:59", None, True),
        ("ge2026-03-01", "2026-03-01T00:00:00", None, True),
        ("gt2026-03-01", "2026-03-01T12:00:00", None, False),
        ("le2026-03-01", "2026-03-01T12:00:00", None, True),
        ("lt2026-03-01", "2026-03-01T00:00:00", None, False),
        ("sa2026-03-01", "2026-03-02T00:00:00", None, True),
        ("eb2026-03-01", "2026-02-28T23:59:59", None, True),
        # a session over midnight
        ("2026-03-01", "2026-03-01T23:50:00", "2026-03-02T00:10:00", False),
        ("ge2026-03-02", "2026-03-01T23:50:00", "2026-03-02T00:10:00", False),
        ("ge2026-03-01", "2026-03-01T23:50:00", "2026-03-02T00:10:00", True),
        ("gt2026-03-01", "2026-03-01T23:50:00", "2026-03-02T00:10:00", True),
        ("lt2026-03-02", "2026-03-01T23:50:00", "2026-03-02T00:10:00", True),
        # months, years, minutes, zones, and the end of the calendar
        ("le9999-12-31", "2026-02-28T23:00:00", None, True),
        ("le9999", "2026-02-28T23:00:00", None, True),
        ("lt9999-12-31T23:59:59Z", "2026-02-28T23:00:00", None, True),
        ("2026-02", "2026-02-28T23:00:00", None, True),
        ("2026", "2026-12-31T23:00:00", None, True),
        ("2026-12", "2027-01-01T00:00:00", None, False),
        ("2026-03-01T10:00+01:00", "2026-03-01T09:00:59", None, True),
        ("2026-03-01T10:00:00 01:00", "2026-03-01T09:00:00.9", None, True),
        ("2026-03-01T10:00:00.123Z", "2026-03-01T10:00:00.123456", None, True),
        ("2026-03-01T10:00:00.123Z", "2026-03-01T10:00:00.124", None, False),
    ],
)
def test_a_date_finds(given, start, end, is_found):
    test = DateTest.parse(given)
    begin = at(start)
    assert test.holds(begin, at(end) if end else begin) is is_found


@pytest.mark.parametrize(
    "given",
    ["", "today", "ap2026", "ne2026-01-01", "2026-13", "2026-02-30", "26", "2026-03-01T25:00",
     "0000", "2026-03-01,2026-03-02", "ge", "2026-03-01T10:00:00+99:00", "9999-12-31T23:59:59Z\n"],
)  # fmt: skip
def test_what_is_no_date_is_told(given):
    assert DateTest.parse(given) is None


def test_what_a_resource_shows_finds_it(records, three):
    """By the very time that it shows, whatever fractions of a second are stored."""
    for who in three.ids:
        sessions = [one for one in records[who] if one["resourceType"] == "Procedure"]
        for one in sessions:
            for prefix in ("ge", "le"):
                test = DateTest.parse(prefix + one["meta"]["lastUpdated"])
                assert test is not None
                wanted = RowsWanted(ids=frozenset({one["id"]}), updated=(test,))
                found = read_whole(three.engine, who, Search(wanted, frozenset({one["id"]})))
                assert one in found


def test_before_there_were_zones_a_time_is_in_utc():
    noon = at("1901-01-01T12:00:00")
    assert date_time(noon, "Africa/Monrovia") == "1901-01-01T12:00:00.000+00:00"
    assert date_time(noon, "Asia/Kathmandu").endswith("+00:00")
    assert date_time(at("2026-01-01"), "Asia/Kathmandu") == "2026-01-01T05:45:00.000+05:45"
