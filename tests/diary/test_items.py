"""The registry is whole, and each item accepts what it describes and nothing else."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.devices.screening import RED_FLAGS
from cymba.diary.items import CONDITIONS, ITEMS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)

GOOD = {
    "pain_now": 7,
    "sleep_hours": 6.5,
    "pain_site": ["ear", "neck"],
    "phq4": [0, 1, None, 3],
    "pgic": 2,
    "hoarseness": {"severity": "mild", "bothersome": False},
    "medication": [{"name": "Pregabalin", "dose": "75 mg"}],
    "lab": [{"name": "crp", "value": 3.1}],
    "condition": ["crps"],
    "cycle_start": True,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_fits_both_the_check_and_the_schema(name: str) -> None:
    item = ITEMS[name]
    assert list(item.value.problems(GOOD[name])) == []
    jsonschema.validate(GOOD[name], item.value.json_schema())


@pytest.mark.parametrize("name", ITEMS)
@given(value=JSON)
def test_the_check_takes_nothing_that_the_schema_refuses(name: str, value: object) -> None:
    item = ITEMS[name]
    if not list(item.value.problems(value)):
        jsonschema.validate(value, item.value.json_schema())
        item.value.scores(value)


@pytest.mark.parametrize(
    ("name", "value", "pointer"),
    [
        ("pain_now", 11, ""),
        ("pain_now", True, ""),
        ("cycle_start", False, ""),
        ("pain_now", 3.0, ""),
        ("sleep_hours", float("nan"), ""),
        ("phq4", [0, 1, 2], ""),
        ("phq4", [0, 1, 2, 4], "/3"),
        ("pain_site", ["ear", "ear"], "/1"),
        ("pain_site", [["ear"]], "/0"),
        ("hoarseness", {"severity": "awful"}, "/severity"),
        ("hoarseness", {"severity": "mild", "grade": 2}, "/grade"),
        ("medication", [{"dose": "1"}], "/0/name"),
        ("medication", [{"name": "a\0b"}], "/0/name"),
        ("lab", [{"name": "crp", "value": -1}], "/0/value"),
        ("lab", [{"name": {}, "value": 1}], "/0/name"),
    ],
)
def test_a_bad_value_is_pointed_at(name: str, value: object, pointer: str) -> None:
    assert pointer in [pointer for pointer, _ in ITEMS[name].value.problems(value)]


def test_phq4_scores_as_published_and_a_missing_answer_gives_no_total() -> None:
    phq4 = ITEMS["phq4"].value
    assert phq4.scores([3, 2, 1, 0]) == {"total": 6, "gad2": 5, "phq2": 1}
    assert phq4.scores([3, None, 1, 0]) == {"total": None, "gad2": None, "phq2": 1}


def test_every_item_says_why_it_may_be_shipped() -> None:
    assert all(item.licence for item in ITEMS.values())


def test_each_symptom_that_withholds_current_can_be_entered_and_no_other_item_claims_to() -> None:
    assert {item.name for item in ITEMS.values() if item.red_flag} == RED_FLAGS.keys()


def test_scales_that_may_not_be_shipped_are_not() -> None:
    words = " ".join(f"{item.name} {item.title}".lower() for item in ITEMS.values())
    for scale in ("bpi", "eq-5d", "promis", "who-5", "npsi", "dn4", "paindetect", "isi", "psqi"):
        assert scale not in words.split()
    assert "phq9" not in ITEMS


def test_every_condition_offered_has_its_codes() -> None:
    assert set(CONDITIONS) == set(ITEMS["condition"].value.json_schema()["items"]["enum"])
    for condition in CONDITIONS.values():
        assert condition.name == "other" or (condition.snomed_ct and condition.icd_10)
