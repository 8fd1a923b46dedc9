"""No bytes whatsoever end in anything but entries, readings, or a named refusal."""

import io
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cymba.imports import files, mapping
from cymba.imports.found import FAILURES, REASONS, Draft, FoundReading, LeftOut, NotTaken
from cymba.imports.preview import Understood
from tests.imports.files_by_hand import (
    BEARABLE,
    DAYLIO,
    MIGRAINE_BUDDY,
    NOW,
    apple_xml,
    apple_zip,
    health_connect_db,
)

WHOLE = [DAYLIO.encode(), BEARABLE.encode("utf-16"), MIGRAINE_BUDDY.encode(), apple_xml()]
few = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def understood(data):
    """As the worker reads it, with whatever mapping is proposed."""
    tally = Understood()
    try:
        with files.opened(io.BytesIO(data), max_unpacked_bytes=2**22) as opened:
            wanted = None
            if opened.survey is not None:
                wanted = opened.survey.proposed("Europe/Berlin")
                assert list(mapping.problems(wanted, opened.survey.names)) == []
                opened.survey.questions(wanted)
            for one in opened.found(wanted, now=NOW):
                if isinstance(one, LeftOut):
                    assert one.reason in REASONS
                    tally.leave_out(one)
                    continue
                assert isinstance(one, FoundReading | Draft)
                text = one.source if isinstance(one, FoundReading) else one.note or ""
                assert "\0" not in text
                text.encode()
                tally.take("some", one[0] if isinstance(one, Draft) else one.started_at)
    except NotTaken as error:
        return error.code in FAILURES
    return tally.shown(ZoneInfo("Europe/Berlin")) is not None


@few
@given(st.binary(max_size=2_000))
@example(b'"')
@example(b"a,b\n\xff\xfe")
@example(b"\xff\xfea\0,\0")
@example(b"\xef\xbb\xbf")
def test_any_bytes(data):
    assert understood(data)


cells = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "2025-01-01", "3/4/25", "0", "10", "7,5", "02:30", "good", "-1", "99999999999", "٣", "1e9"]
)
header = st.sampled_from(
    ["date", "time", "pain", "mood", "note", "full_date", "#", "", "sleep hours"]
)


@few
@given(
    st.lists(header, min_size=2, max_size=5),
    st.lists(st.lists(cells, max_size=6), max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_any_table(names, rows, delimiter, encoding):
    text = "\n".join(delimiter.join(row) for row in [names, *rows])
    assert understood(text.encode(encoding, "replace"))


@few
@given(st.sampled_from([*WHOLE, apple_zip()]), st.data())
def test_any_damage(whole, data):
    at = data.draw(st.integers(0, len(whole) - 1))
    size = data.draw(st.integers(0, 40))
    assert understood(whole[:at] + data.draw(st.binary(max_size=40)) + whole[at + size :])


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return health_connect_db(tmp_path_factory.mktemp("health-connect"))


@settings(few, max_examples=40)
@given(st.data())
def test_any_damage_to_a_database(database, data):
    at = data.draw(st.integers(16, len(database) - 1))
    wrong = data.draw(st.binary(min_size=1, max_size=40))
    assert understood(database[:at] + wrong + database[at + len(wrong) :])
