"""Apple Health and Health Connect: what is read, what is left out, and what is refused."""

import io
import itertools
import tracemalloc
import zipfile
from collections import Counter

import pytest

from cymba.imports import apple_health, files, packed
from cymba.imports.found import FoundReading, LeftOut, NotTaken
from tests.imports.files_by_hand import (
    APPLE_HEAD,
    APPLE_TAIL,
    HEART_RATE,
    NIGHT,
    NOW,
    SDNN,
    SLEEP,
    apple_xml,
    apple_zip,
    health_connect_db,
    many_records,
    record,
    zipped,
)

MAX_UNPACKED = 64 * 2**20


def found_in(data, *, most=MAX_UNPACKED):
    with files.opened(io.BytesIO(data), max_unpacked_bytes=most) as opened:
        return opened.format, list(opened.found(None, now=NOW))


def kinds(found):
    return Counter(
        one.kind if isinstance(one, FoundReading) else f"left out: {one.reason}" for one in found
    )


def refusal(data, **more):
    with pytest.raises(NotTaken) as raised:
        found_in(data, **more)
    return raised.value.code


@pytest.mark.parametrize("data", [apple_zip(), apple_xml()], ids=["zip", "xml"])
def test_apples_readings_have_their_kind_time_and_source(data):
    format_, found = found_in(data)
    assert format_ == "apple_health"
    assert kinds(found) == {
        "sleep": 1, "heart_rate": 2, "hrv_sdnn": 1, "left out: other-kind": 1,
    }  # fmt: skip
    night, pulse, second, hrv, _ = found
    assert (night.stage, night.value) == ("light", None)
    assert pulse.started_at.isoformat() == "2026-01-05T07:30:00+01:00"
    assert (pulse.value, second.value, hrv.value) == (61.0, 64.5, 41.2)
    assert pulse.source == "Ana’s Watch"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", unit="count/month"), "unknown-unit"),
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", unit=None), "unknown-unit"),
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", value="6,1"), "not-a-number"),
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", value="nan"), "not-in-range"),
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", value="-61"), "not-in-range"),
        (record(HEART_RATE, "2026-02-30 07:30:00 +0100"), "no-time"),
        (record(HEART_RATE, "2036-01-05 07:30:00 +0100"), "no-time"),
        (record(HEART_RATE, "2026-01-05 07:30:00"), "no-time"),
        (record(HEART_RATE, "2026-01-05 07:30:00 +0100", "2026-01-05 07:29:00 +0100"), "no-time"),
        (record(SLEEP, "2026-01-05 07:30:00 +0100", value="Dreaming", unit=None), "unknown-stage"),
        (record(SDNN, "2026-01-05 07:30:00 +0100", value="41", unit="ns"), "unknown-unit"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_left_out_with_its_line(given, reason):
    _, found = found_in(apple_xml(NIGHT + given))
    (last,) = found[5:]
    assert last == LeftOut(reason, line=apple_xml(NIGHT).count(b"\n"))


def test_units_are_converted_by_their_factor_alone():
    hertz = record(HEART_RATE, "2026-01-05 07:30:00 +0100", value="1.5", unit="count/s")
    seconds = record(SDNN, "2026-01-05 07:30:00 +0100", value="0.05", unit="s")
    _, found = found_in(apple_xml(hertz + seconds))
    assert [one.value for one in found] == [90.0, 50.0]


def test_a_reading_is_known_again_in_another_export():
    """The offset is that of the phone at its export, and the order another."""
    summer = record(HEART_RATE, "2026-01-05 08:30:00 +0200") + NIGHT
    _, once = found_in(apple_xml())
    _, again = found_in(apple_xml(summer))
    digests = {one.digest for one in once if isinstance(one, FoundReading)}
    assert {one.digest for one in again if isinstance(one, FoundReading)} == digests
    assert len(digests) == 4


@pytest.mark.parametrize("packed_as", ["db", "zip"])
def test_health_connects_readings_are_told_by_the_records_own_ids(tmp_path, packed_as):
    data = health_connect_db(tmp_path)
    if packed_as == "zip":
        data = zipped({"health_connect_export.db": data})
    format_, found = found_in(data)
    assert format_ == "health_connect"
    assert kinds(found) == {
        "heart_rate": 2, "resting_heart_rate": 1, "hrv_rmssd": 1, "sleep": 3,
        "left out: not-in-range": 1, "left out: unknown-stage": 1,
    }  # fmt: skip
    stages = [one.stage for one in found if isinstance(one, FoundReading) and one.kind == "sleep"]
    assert stages == ["light", "rem", "session"]
    assert {one.source for one in found if isinstance(one, FoundReading)} == {"com.example.watch"}
    again = found_in(data)[1]
    assert again == found


def test_hrv_by_sdnn_and_by_rmssd_are_two_things(tmp_path):
    apple = {one.kind for one in found_in(apple_xml())[1] if isinstance(one, FoundReading)}
    android = found_in(health_connect_db(tmp_path))[1]
    other = {one.kind for one in android if isinstance(one, FoundReading)}
    assert "hrv_sdnn" in apple - other
    assert "hrv_rmssd" in other - apple


A_VIEW = """
DROP TABLE heart_rate_record_series_table;
CREATE VIEW heart_rate_record_series_table AS
  SELECT 1 AS parent_key, 1767600000000 AS epoch_millis, 60 AS beats_per_minute;
"""
NO_TABLES = """
DROP TABLE heart_rate_record_table; DROP TABLE resting_heart_rate_record_table;
DROP TABLE heart_rate_variability_rmssd_record_table; DROP TABLE sleep_session_record_table;
"""
STRANGE_VALUES = """
INSERT INTO heart_rate_record_series_table VALUES (1, 'soon', 60), (1, 9e300, 60),
  (1, 1767600000000, zeroblob(20)), (NULL, NULL, NULL);
"""
LARGE_VALUE = """
INSERT INTO resting_heart_rate_record_table
  VALUES (1, randomblob(200000), 1767600000000, 0, 60, 1);
"""


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        (A_VIEW, None),
        (NO_TABLES, "unknown-format"),
        (STRANGE_VALUES, None),
        (LARGE_VALUE, "broken-database"),
    ],
    ids=["a view", "no tables", "strange values", "a large value"],
)
def test_a_strange_database_ends_in_a_clear_answer(tmp_path, statements, code):
    data = health_connect_db(tmp_path, statements)
    if code is None:
        assert not [one for one in found_in(data)[1] if isinstance(one, FoundReading)]
    else:
        assert refusal(data) == code


def test_half_a_database_is_damaged(tmp_path):
    data = health_connect_db(tmp_path)
    assert refusal(data[:4096]) == "broken-database"


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE HealthData [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE HealthData SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE HealthData PUBLIC "x" "http://127.0.0.1/x">',
        '<!DOCTYPE HealthData [<!ELEMENT a ANY>]><!DOCTYPE HealthData [<!ENTITY b "x">]>',
    ],
)
def test_entities_and_other_files_are_refused(doctype):
    assert refusal(apple_xml(head=doctype + "<HealthData>")) in {"xml-entities", "broken-xml"}


@pytest.mark.parametrize(
    "records",
    [
        "&undeclared;",
        "<Record",
        "<a>" * 100,
        "<Record type='" + "x" * 3_000_000 + "'/>",
        "".join(f"<a{number} b{number}='1'/>" for number in range(20_000)),
        "\ud800",
    ],
    ids=["entity", "cut off", "deep", "long tag", "many names", "surrogate"],
)
def test_xml_that_was_made_to_harm_is_refused_in_bounded_memory(records):
    data = (APPLE_HEAD + records + APPLE_TAIL).encode("utf-8", "surrogatepass")
    tracemalloc.start()
    try:
        assert refusal(data) == "broken-xml"
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()


def bomb(mebibytes):
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("apple_health_export/export.xml", "w") as file,
    ):
        file.write(APPLE_HEAD.encode())
        for _ in range(mebibytes):
            file.write(b" " * 2**20)
    return made.getvalue()


def test_a_bomb_is_refused_by_what_comes_out_of_it(monkeypatch):
    assert refusal(bomb(8), most=4 * 2**20) == "unpacks-too-large"
    monkeypatch.setattr(packed, "FREE_BYTES", 2**20)
    assert refusal(bomb(8)) == "unpacks-too-large"  # by its ratio


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (apple_zip()[:-30], "broken-archive"),
        (apple_zip()[:200] + apple_zip()[260:], "broken-archive"),
        (zipped({"notes.txt": b"x"}), "unknown-format"),
        (zipped({"export.xml": apple_xml()}, zipfile.ZIP_LZMA), "broken-archive"),
        (zipped({f"{number:0200}": b"" for number in range(9_000)}), "unpacks-too-large"),
        (b"", "unknown-format"),
        (b" \n", "unknown-format"),
        (b"PK\x03\x04", "broken-archive"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unknown-format"),
    ],
    ids=["cut off", "damaged", "other", "lzma", "directory", "empty", "blank", "stub", "picture"],
)
def test_what_is_no_export_is_refused(data, code):
    assert refusal(data) == code


class Endless(io.RawIOBase):
    """An export of any length that nobody holds."""

    def __init__(self, pieces):
        self._pieces, self._rest = pieces, b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while len(self._rest) < len(buffer) and (piece := next(self._pieces, None)):
            self._rest += piece
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def test_memory_does_not_grow_with_the_file():
    """docs/imports.md has what a whole gigabyte took."""
    peaks = []
    for count in (2_000, 8_000):
        file = io.BufferedReader(Endless(many_records(count)))
        tracemalloc.start()
        found = sum(1 for _ in apple_health.readings(file, now=NOW))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == count
    assert peaks[1] < peaks[0] + 2**18


def test_what_was_read_before_the_damage_is_given_and_then_refused():
    whole = apple_xml(NIGHT * 2_000)
    reader = apple_health.readings(io.BytesIO(whole[:-400]), now=NOW)
    assert list(itertools.islice(reader, 1_000))
    with pytest.raises(NotTaken):
        list(reader)
