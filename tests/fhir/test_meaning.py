"""A meaning is never made stronger on the way to FHIR."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cymba.accounts.app_scopes import RESOURCE_TYPES as APP_TYPES
from cymba.database import UnitOfWork, line_of
from cymba.diary.entries import DiaryEntries
from cymba.fhir.record import ALL_PARTS, RecordOwner
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.resources.session_figures import SINGLE, SUMMARY
from cymba.fhir.search import ReadUpTo, ResourceReader, Search, by_ids, legs
from cymba.stimulation.session.queries import telemetry_of
from cymba.stimulation.tables import StimulationSession
from service.http.rounding import DECIMALS
from tests.fhir.conftest import read_whole
from tests.fhir.people import KEY, by_hand, enrol, write

AT = datetime(2026, 3, 1, 18, tzinfo=UTC)


def of(record, kind, ending=""):
    return [r for r in record if r["resourceType"] == kind and r["id"].endswith(ending)]


def test_figures_have_the_digits_of_the_api():
    for one in (*SUMMARY, *(single.figure for single in SINGLE)):
        assert one.digits == DECIMALS.get(one.name, 0), one.name


def test_apps_may_ask_for_every_resource_type():
    assert set(APP_TYPES) == RESOURCE_TYPES.keys()


def test_what_a_person_can_edit_is_not_final(records, three):
    _, ben, _ = three.ids
    statuses = {one["status"] for one in of(records[ben], "Observation")}
    assert statuses == {"preliminary"}


def test_only_a_whole_session_without_doubts_is_final(records, three):
    ana = records[three.ids[0]]
    sessions = {one["id"]: one for one in of(ana, "Procedure")}
    seen = set()
    for one in of(ana, "Observation", ".summary"):
        own = {e["url"]: e for e in sessions[one["id"].partition(".")[0]]["extension"]}
        completeness = own.get("urn:cymba:fhir:completeness", {}).get("valueDecimal")
        is_whole = completeness == 1 and "urn:cymba:fhir:doubt" not in own
        assert one["status"] == ("final" if is_whole else "preliminary")
        seen.add(one["status"])
    assert "final" in seen


def test_a_level_is_no_current_and_what_nobody_measured_no_number(records, three):
    _, ben, _ = three.ids
    found = of(records[ben], "Observation", ".summary")
    assert len(found) == 2
    for one in found:
        values = {c["code"]["coding"][0]["code"]: c for c in one["component"]}
        for name in ("mean-amplitude-ua", "delivered-charge-uc", "pulses"):
            assert "valueQuantity" not in values[name]
            assert values[name]["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    levels = [
        c["valueQuantity"]["unit"]
        for one in found
        for c in one["component"]
        if "native-level" in c["code"]["coding"][0]["code"] and "valueQuantity" in c
    ]
    assert set(levels) == {"{level}"}


def test_how_a_session_by_hand_ended_nobody_knows_nor_how_far_off_its_times_are(records, three):
    _, ben, _ = three.ids
    for one in of(records[ben], "Procedure"):
        assert (one["status"], one.get("statusReason")) == ("unknown", None)
        (error,) = [e for e in one["extension"] if e["url"] == "urn:cymba:fhir:time-error"]
        assert "value" not in error["valueQuantity"]


def test_rmssd_is_not_told_as_sdnn(records):
    codes = {
        frozenset(coding["code"] for coding in one["code"]["coding"])
        for record in records.values()
        for one in of(record, "Observation")
    }
    sdnn = {some for some in codes if "80404-7" in some}
    rmssd = {some for some in codes if any("rmssd" in code for code in some)}
    assert sdnn == {frozenset({"80404-7", "hrv-sdnn"})}
    assert rmssd == {frozenset({"rmssd-ms"}), frozenset({"hrv-rmssd"})}


def test_of_imports_only_what_is_stored_is_shown_and_by_its_id_again(records, three):
    ana = three.ids[0]
    found = [one for one in of(records[ana], "Observation") if one["id"][:3] in {"hr.", "sdn"}]
    assert len(found) == 6
    assert {one["status"] for one in found} == {"preliminary"}
    for one in found:
        assert read(three.engine, ana, by_ids(frozenset({one["id"]}))).resources == [one]


def test_a_missing_answer_leaves_no_sum_over_it(records, three):
    _, ben, _ = three.ids
    (whole,) = of(records[ben], "Observation", ".phq4")
    (anxiety,) = of(records[ben], "Observation", ".phq4-gad2")
    (depression,) = of(records[ben], "Observation", ".phq4-phq2")
    assert "valueQuantity" not in whole
    assert "valueQuantity" not in depression
    assert anxiety["valueQuantity"]["value"] == 1
    answers = [one.get("valueQuantity", {}).get("value") for one in whole["component"]]
    assert answers == [0, 1, None, 3]


def test_no_cause_of_a_side_effect_is_said_and_none_is_no_event(records, three):
    _, ben, _ = three.ids
    events = of(records[ben], "AdverseEvent")
    names = {one["event"]["coding"][-1]["code"] for one in events}
    assert names == {"headache", "difficulty-swallowing", "skin-redness"}
    assert not [one for one in events if "suspectEntity" in one]


def read(engine, account_id, search, **page):
    owner = RecordOwner(account_id, is_own=True)
    with UnitOfWork(engine) as session:
        makers = legs(list(RESOURCE_TYPES.values()), ALL_PARTS)
        return ResourceReader(session, owner, makers).page(search, **{"count": 50, **page})


def test_readings_are_all_there_each_at_its_place(records, three):
    ana = three.ids[0]
    (one, *_) = of(records[ana], "Observation", ".heart-rate-during-bpm")
    wanted = one["derivedFrom"][0]["reference"].removeprefix("Observation/")
    (found,) = read(three.engine, ana, by_ids(frozenset({wanted}))).resources
    assert found["id"] == wanted
    sampled = found["valueSampledData"]
    points = sampled["data"].split(" ")
    with UnitOfWork(three.engine) as session:
        row = session.get_one(StimulationSession, wanted.partition(".")[0])
        (series,) = telemetry_of(line_of(session), row, channels=["heart_rate_bpm"]).series
    there = series.values == series.values  # not NaN
    offsets, values = series.offset_ms[there], series.values[there]
    assert [float(p) for p in points if p != "E"] == values.tolist()
    at_ms = [i * sampled["period"] for i, p in enumerate(points) if p != "E"]
    far_off = [abs(a - b) for a, b in zip(at_ms, offsets - offsets[0], strict=True)]
    assert max(far_off) <= sampled["period"]


@pytest.fixture
def nobody(engine):
    with UnitOfWork(engine) as session, session.begin():
        return enrol(session, name="Nobody", time_zone="UTC")


def test_an_edited_entry_is_amended(engine, nobody):
    with UnitOfWork(engine) as session, session.begin():
        entry_id = write(session, nobody, AT, pain_now=3)
        fields = {"felt_at": AT, "time_zone": "UTC", "items.pain_now": 4}
        DiaryEntries(KEY).put(session, nobody, entry_id, fields, match=lambda _: None, now=AT)
    record = read_whole(engine, nobody, Search())
    assert [one["status"] for one in of(record, "Observation")] == ["amended"]
    assert [one["status"] for one in of(record, "QuestionnaireResponse")] == ["amended"]


def test_pages_hold_still_while_others_write_and_delete(engine, nobody):
    """What is there all the while comes once, whatever comes and goes meanwhile."""
    with UnitOfWork(engine) as session, session.begin():
        ids = [
            write(session, nobody, AT + timedelta(hours=h), pain_now=3, mood=4) for h in range(12)
        ]
        for hour in range(4):
            by_hand(session, nobody, AT + timedelta(days=hour), model="tens_ear_clip")
    gone, found, after = ids[5], [], None
    stays = {
        one["id"]
        for one in read_whole(engine, nobody, Search())
        if not one["id"].startswith(str(gone))
    }
    for page_number in range(100):
        page = read(engine, nobody, Search(), after=after, count=3)
        found += [one["id"] for one in page.resources if one["resourceType"] == "Observation"]
        if page.next_place is None:
            break
        after = ReadUpTo(*page.next_place)
        with UnitOfWork(engine) as session, session.begin():
            if page_number == 4:
                diary = DiaryEntries(KEY)
                diary.delete(session, nobody, gone, match=lambda _: None, now=AT)
            write(session, nobody, AT + timedelta(days=2, minutes=page_number), pain_now=1)
    assert len(found) == len(set(found))
    observed = {
        one["id"]
        for one in read_whole(engine, nobody, Search())
        if one["resourceType"] == "Observation" and one["id"] in stays
    }
    assert observed <= set(found)


def test_a_page_asks_as_few_questions_for_many_rows_as_for_few(engine, nobody, statements):
    asked = []
    for entries in (5, 40):
        with UnitOfWork(engine) as session, session.begin():
            for hour in range(entries):
                at = AT + timedelta(hours=hour, minutes=entries)
                write(session, nobody, at, pain_now=3, headache={"severity": "mild"})
                by_hand(session, nobody, at, model="tens_ear_clip", duration_s=60)
        statements.clear()
        read(engine, nobody, Search(), count=200)
        asked.append(len(statements))
    assert asked[1] <= asked[0]


def test_ids_of_another_form_find_nothing(engine, nobody):
    for id_ in ("", ".", "x" * 5000, f"{uuid4()}.", f"{uuid4()}.raw.rr-ms", "..", "\x00"):
        assert read(engine, nobody, by_ids(frozenset({id_}))).resources == []
