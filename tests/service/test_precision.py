"""Computed numbers leave with as many decimals as they can mean."""

import json

import pytest

from service.precision import DECIMALS, EXACT, rounded
from tests.service.conftest import check_rounded


@pytest.mark.parametrize(
    ("name", "computed", "told"),
    [
        ("effect", 0.1 + 0.2, "0.3"),
        ("heart_rate_during_bpm", 70.23333333333333, "70.2"),
        ("residual", -0.00001, "0.0"),
        ("p", 2**-13, "0.000122"),
        ("delivered_charge_uc", 987_654_321.987654, "987654321.988"),
        ("mean", float("nan"), "NaN"),
        ("p", 1e-12, "1e-06"),
        ("sequential_p", 1e-12, "1e-06"),
        ("completeness", None, "null"),
        ("low", 3, "3"),  # days, where `low` counts some
        ("frequency_hz", 0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_a_number_is_rounded_by_its_name(name, computed, told):
    assert json.dumps(rounded({name: computed})[name]) == told


def test_an_answer_that_is_not_rounded_is_noticed():
    with pytest.raises(AssertionError, match="effect"):
        check_rounded({"items": [{"effect": 0.1 + 0.2}]})


def numbers(schema, name=""):
    """The names and descriptions of all numbers in a schema of the document."""
    if isinstance(schema, list):
        for one in schema:
            yield from numbers(one, name)
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type", ())
    if "number" in ([kinds] if isinstance(kinds, str) else kinds):
        yield name, schema.get("description", "")
    for one, described in schema.get("properties", {}).items():
        yield from numbers(described, one)
    for key in ("items", "oneOf", "anyOf", "allOf"):
        yield from numbers(schema.get(key), name)


def test_of_every_number_the_document_says_how_far_it_is_rounded(document):
    found = set()
    for schema in document.api["components"]["schemas"].values():
        for name, about in numbers(schema):
            assert name in DECIMALS or name in EXACT, name
            assert (f"Rounded to {DECIMALS.get(name)} decimals" in about) == (name in DECIMALS)
            found.add(name)
    assert found == DECIMALS.keys() | EXACT
