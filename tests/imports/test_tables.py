"""Other diaries' tables: recognised, mapped, asked about, and read in any form."""

import io

import pytest

from cymba.imports import files, mapping
from cymba.imports.found import Draft, LeftOut
from cymba.imports.mapping import ItemColumn, Mapping, Scale
from tests.imports.files_by_hand import BEARABLE, DAYLIO, MIGRAINE_BUDDY, NOW

BERLIN = "Europe/Berlin"


def read(text, encoding="utf-8", change=lambda proposed: proposed):
    """The survey, the mapping, and what it finds."""
    data = text if isinstance(text, bytes) else text.encode(encoding)
    with files.opened(io.BytesIO(data), max_unpacked_bytes=2**20) as opened:
        survey = opened.survey
        wanted = change(survey.proposed(BERLIN))
        assert list(mapping.problems(wanted, survey.names)) == []
        return survey, wanted, list(opened.found(wanted, now=NOW))


def entries(found):
    return [one for one in found if isinstance(one, Draft)]


def left_out(found):
    return [(one.reason, one.line) for one in found if isinstance(one, LeftOut)]


def with_scale(low, high):
    def change(proposed):
        items = [
            ItemColumn(one.column, one.item, Scale(low, high), one.words, one.where)
            for one in proposed.items
        ]
        return Mapping(**{name: getattr(proposed, name) for name in proposed.__struct_fields__} | {
            "items": tuple(items)})  # fmt: skip

    return change


def test_daylio():
    survey, wanted, found = read(DAYLIO)
    assert (survey.format, survey.questions(wanted)) == ("daylio", [])
    first, second = entries(found)
    assert first.felt_at.isoformat() == "2026-01-05T12:48:00+00:00"
    assert first.items == {"mood": 8}
    # What was converted stands in the note as it was written.
    assert first.note == "note: Rücken etwas besser\nactivities: walk | cooking\nmood: good"
    assert second.felt_at.isoformat() == "2026-01-04T19:30:00+00:00"
    assert second.items == {"mood": 0}
    assert left_out(found) == [("unknown-word", 4)]


def test_bearable_has_a_row_for_each_rating_and_asks_for_its_scale():
    survey, wanted, found = read(BEARABLE)
    assert survey.format == "bearable"
    asked = survey.questions(wanted)
    assert asked == [{"code": "scale", "column": "rating/amount"}] * 3
    survey, wanted, found = read(BEARABLE, change=with_scale(1, 5))
    assert survey.questions(wanted) == []
    mood, energy, sleep = entries(found)
    assert (mood.items, mood.note) == ({"mood": 8}, "rating/amount: 4 (1–5)")
    assert mood.felt_at.isoformat() == "2026-01-05T08:15:00+00:00"
    assert energy.items == {"energy": 3}
    assert "tired, from noon on" in energy.note
    assert "time of day: pm" in energy.note
    assert energy.without_time
    assert sleep.items == {"sleep_hours": 7.5}
    assert left_out(found) == [("nothing-mapped", 5), ("nothing-mapped", 6)]


def test_migraine_buddy_begins_below_a_preamble_and_says_its_offset():
    survey, wanted, found = read(MIGRAINE_BUDDY)
    assert (survey.format, survey.header_line) == ("migraine_buddy", 4)
    assert survey.questions(wanted) == []
    first, second = entries(found)
    assert first.felt_at.isoformat() == "2025-11-16T13:12:00+00:00"
    assert second.felt_at.isoformat() == "2026-02-03T11:00:00+00:00"
    assert (first.items, second.items) == ({"pain_worst": 4}, {"pain_worst": 7})
    assert "Potential Triggers: Stress" in first.note


def test_a_table_is_known_again_though_its_rows_are_numbered_anew():
    _, _, once = read(MIGRAINE_BUDDY)
    longer = MIGRAINE_BUDDY.replace('"2","02/', '"7","02/')
    _, _, again = read(longer)
    assert [one.digest for one in entries(once)] == [one.digest for one in entries(again)]


PLAIN = "Datum;Uhrzeit;Schmerz;Schlafdauer;Notiz\n5.1.2026;07:30;6;7,5;Rücken\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_encoding_delimiter_and_decimal_comma(encoding, newline):
    survey, wanted, found = read(PLAIN.replace("\n", newline), encoding, with_scale(0, 10))
    (only,) = entries(found)
    assert only.items == {"pain_now": 6, "sleep_hours": 7.5}
    assert only.note == "Rücken"
    assert survey.encoding.startswith(encoding.removesuffix("-sig")[:6])
    assert wanted.date == "Datum"


def days(*texts):
    return "date,pain\n" + "".join(f"{text},3\n" for text in texts)


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["3/4/2025"], True),
        (["3/4/2025", "25/4/2025"], False),
        (["3/4/2025", "4/25/2025"], False),
        (["25/4/2025", "4/25/2025"], True),  # they contradict each other
        (["2025-04-03"], False),
        (["3.4.2025"], False),
        (["3rd Apr 2025"], False),
    ],
)
def test_a_day_with_two_meanings_is_asked_about(texts, asked):
    survey, wanted, found = read(days(*texts), change=with_scale(0, 10))
    questions = [one["code"] for one in survey.questions(wanted)]
    assert questions == (["day-order"] if asked else [])
    if not asked:
        assert entries(found)[0].felt_at.month in {3, 4}


def test_the_answer_decides():
    def as_(order):
        def change(proposed):
            answered = with_scale(0, 10)(proposed)
            return Mapping(answered.time_zone, "date", day_order=order, items=answered.items)

        return change

    for order, month in (("dmy", 4), ("mdy", 3)):
        survey, wanted, found = read(days("3/4/2025"), change=as_(order))
        assert survey.questions(wanted) == []
        assert entries(found)[0].felt_at.month == month


def hours(*texts):
    return "date,time,pain\n" + "".join(f"2025-{text},3\n" for text in texts)


def test_clocks_that_are_put_forward_and_back():
    _, _, found = read(hours("03-30,02:30", "10-26,02:30", "10-26,04:30"), change=with_scale(0, 10))
    assert left_out(found) == [("no-such-time", 2)]
    twice, once = entries(found)
    assert twice.felt_at.isoformat() == "2025-10-26T00:30:00+00:00"  # the first of the two
    assert (twice.said_twice, once.said_twice) == (True, False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2025-01-01,eleven", "not-a-number"),
        ("2025-01-01,11", "beyond-scale"),
        ("2025-01-01,1.234.5", "not-a-number"),
        ("2025-13-01,3", "no-time"),
        ("2036-01-01,3", "no-time"),
        ("soon,3", "no-time"),
        ("2025-01-01,3,extra", "too-many-columns"),
        ("2025-01-01,", "nothing-mapped"),
        ("2025-01-01,\0", "not-text"),
        ("2025-01-01," + "3" * 10_000_000, "line-too-long"),
        ('2025-01-01,"3' + "\n" * 200_000, "quote-not-closed"),
    ],
    ids=lambda text: text[:24],
)
def test_a_row_that_is_not_understood_spoils_no_other(row, reason):
    text = f"date,pain\n2025-01-01,4\n{row}\n" + "2025-01-02,5\n" * 3
    _, _, found = read(text, change=with_scale(0, 10))
    assert left_out(found) == [(reason, 3)]
    assert len(entries(found)) == 4 if reason != "quote-not-closed" else entries(found)


def test_a_mapping_that_does_not_fit_says_where():
    wanted = Mapping(
        "Mars/Base", "nowhere", default_time="noon",
        items=(ItemColumn("pain", "chest_pain"), ItemColumn("pain", "mood", Scale(3, 3))),
    )  # fmt: skip
    found = dict(mapping.problems(wanted, ["date", "pain"]))
    assert set(found) == {"/time_zone", "/default_time", "", "/items/0/item", "/items/1/scale"}


def test_no_side_effect_can_be_brought_in():
    """A red flag locks a device: only the person tells it, in the diary."""
    assert "chest_pain" not in mapping.TARGETS
    assert "pain_now" in mapping.TARGETS
