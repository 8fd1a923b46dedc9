"""Files made by hand in the form of what other apps export; none is anybody's.

The forms are those that open readers of such files agree on (2026-11): Apple's XML, Android's
SQLite tables, and the rows of names of Daylio, Bearable and Migraine Buddy.
"""

import io
import sqlite3
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

APPLE_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 13 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ATTLIST Record
  type          CDATA #REQUIRED
  value         CDATA #IMPLIED
<!-- as some versions write it: this list has no end -->
]>
<HealthData locale="de_DE">
 <ExportDate value="2026-02-28 10:00:00 +0100"/>
"""
APPLE_TAIL = "</HealthData>\n"
HEART_RATE = "HKQuantityTypeIdentifierHeartRate"
SDNN = "HKQuantityTypeIdentifierHeartRateVariabilitySDNN"
SLEEP = "HKCategoryTypeIdentifierSleepAnalysis"


def record(
    type_: str,
    start: str,
    end: str | None = None,
    *,
    value: str = "61",
    unit: str | None = "count/min",
    source: str = "Ana&#8217;s Watch",
) -> str:
    unit_text = f' unit="{unit}"' if unit else ""
    return (
        f' <Record type="{type_}" sourceName="{source}" sourceVersion="9.1"{unit_text}'
        f' creationDate="{end or start}" startDate="{start}" endDate="{end or start}"'
        f' value="{value}"/>\n'
    )


NIGHT = (
    record(SLEEP, "2026-01-05 23:10:00 +0100", "2026-01-06 06:00:00 +0100",
           value="HKCategoryValueSleepAnalysisAsleepCore", unit=None)
    + record(HEART_RATE, "2026-01-05 07:30:00 +0100")
    + record(HEART_RATE, "2026-01-05 07:35:00 +0100", value="64.5")
    + record(SDNN, "2026-01-05 07:40:00 +0100", value="41.2", unit="ms")
    + record("HKQuantityTypeIdentifierStepCount", "2026-01-05 07:40:00 +0100", unit="count")
)  # fmt: skip


def apple_xml(records: str = NIGHT, head: str = APPLE_HEAD) -> bytes:
    return (head + records + APPLE_TAIL).encode()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def apple_zip(records: str = NIGHT) -> bytes:
    """Its file has another name in each language."""
    return zipped(
        {
            "apple_health_export/export_cda.xml": b"<ClinicalDocument/>",
            "apple_health_export/Exportieren.xml": apple_xml(records),
            "apple_health_export/workout-routes/route.xml": b"<gpx/>",
        }
    )


def health_connect_db(path: Path, statements: str = "") -> bytes:
    file = path / "export.db"
    file.unlink(missing_ok=True)
    database = sqlite3.connect(file)
    database.executescript(_TABLES + (statements or _ROWS))
    database.commit()
    database.close()
    return file.read_bytes()


_TABLES = """
CREATE TABLE application_info_table (row_id INTEGER PRIMARY KEY, package_name TEXT);
CREATE TABLE heart_rate_record_table (row_id INTEGER PRIMARY KEY, uuid BLOB, start_time INTEGER,
  end_time INTEGER, start_zone_offset INTEGER, app_info_id INTEGER);
CREATE TABLE heart_rate_record_series_table (parent_key INTEGER, epoch_millis INTEGER,
  beats_per_minute INTEGER);
CREATE TABLE resting_heart_rate_record_table (row_id INTEGER PRIMARY KEY, uuid BLOB, time INTEGER,
  zone_offset INTEGER, beats_per_minute INTEGER, app_info_id INTEGER);
CREATE TABLE heart_rate_variability_rmssd_record_table (row_id INTEGER PRIMARY KEY, uuid BLOB,
  time INTEGER, heart_rate_variability_millis REAL, app_info_id INTEGER);
CREATE TABLE sleep_session_record_table (row_id INTEGER PRIMARY KEY, uuid BLOB, start_time INTEGER,
  end_time INTEGER, app_info_id INTEGER);
CREATE TABLE sleep_stages_table (parent_key INTEGER, stage_start_time INTEGER,
  stage_end_time INTEGER, stage_type INTEGER);
"""
_ROWS = """
INSERT INTO application_info_table VALUES (1, 'com.example.watch');
INSERT INTO heart_rate_record_table VALUES (1, x'01', 1767600000000, 1767603600000, 3600, 1);
INSERT INTO heart_rate_record_series_table VALUES (1, 1767600000000, 62), (1, 1767600060000, 63),
  (1, 1767600120000, 9999);
INSERT INTO resting_heart_rate_record_table VALUES (1, x'02', 1767600000000, 3600, 55, 1);
INSERT INTO heart_rate_variability_rmssd_record_table VALUES (1, x'03', 1767600000000, 36.5, 1);
INSERT INTO sleep_session_record_table VALUES (1, x'04', 1767567600000, 1767594600000, 1);
INSERT INTO sleep_stages_table VALUES (1, 1767567600000, 1767580000000, 4),
  (1, 1767580000000, 1767594600000, 6), (1, 1767594600000, 1767594600001, 77);
"""

DAYLIO = """full_date,date,weekday,time,mood,activities,note_title,note
2026-01-05,January 5,Monday,13:48,good,"walk | cooking","","Rücken etwas besser"
2026-01-04,January 4,Sunday,8:30 pm,awful,"","",""
2026-01-03,January 3,Saturday,10:00,splendid,"","",""
"""
BEARABLE = """date,date formatted,weekday,time of day,category,rating/amount,detail,notes
5th Jan 2026,2026-01-05,Monday,09:15,Mood,4,Mood,
5th Jan 2026,2026-01-05,Monday,pm,Energy,2,Energy,"tired, from noon on"
5th Jan 2026,2026-01-05,Monday,,Sleep,7:30,Sleep,
5th Jan 2026,2026-01-05,Monday,am,Symptom,2,Headache (Moderate),
5th Jan 2026,2026-01-05,Monday,am,Medication,400,Ibuprofen 400mg,
"""
MIGRAINE_BUDDY = """"Date","Time Period","Description","Notes"
"No ongoing events recorded during this period.","","",""

"#","Started","Lasted","Start UTC Offset (min)","Pain Level","Potential Triggers"
"1","11/16/25 14:12","1h 0m","60","4","Stress"
"2","02/03/26 06:00","3h 10m","-300","7",""
"""


def many_records(count: int) -> Iterator[bytes]:
    """An export of any length, in pieces."""
    yield APPLE_HEAD.encode()
    for number in range(count):
        day, second = divmod(number, 86_400)
        at = f"{2000 + day // 28:04}-01-{1 + day % 28:02}"
        time = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        yield record(HEART_RATE, f"{at} {time} +0000", value=str(50 + number % 90)).encode()
    yield APPLE_TAIL.encode()
