"""Computed numbers leave with as many decimals as they can mean."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import out
from service.http.fields import Schema
from service.http.rounding import DECIMALS, EXACT
from service.http.writing import writer
from tests.service.conftest import check_rounded


def rounded(numbers):
    """As they leave in an answer that has them for numbers."""
    fields = {name: out.number(None, null=True) for name in numbers}
    return writer(Schema.from_dict(fields))(numbers)


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
        ("low", -0.0003, "-0.001"),
        ("high", 0.0003, "0.001"),
        ("low", 0.0003, "0.001"),
        ("high", -0.0003, "-0.001"),
        ("low", 1.2349, "1.234"),
        ("high", 1.2341, "1.235"),
        ("low", 4.35, "4.35"),
        ("high", -4.35, "-4.35"),
        ("slope", -0.0001, "-0.001"),
        ("low", 0.0, "0.0"),
        ("p", 0.0500001, "0.050001"),
        ("p", 0.0499999, "0.049999"),
        ("p", 0.05, "0.05"),
        ("sequential_p", 0.0999999, "0.099999"),
        ("p", 1.0, "1.0"),
        ("completeness", None, "null"),
        ("low", 3, "3"),  # days, where `low` counts some
        ("frequency_hz", 0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_a_number_is_rounded_by_its_name(name, computed, told):
    assert json.dumps(rounded({name: computed})[name]) == told


ENDS = st.floats(-20, 20) | st.floats(-0.002, 0.002)


@given(st.tuples(ENDS, ENDS, ENDS).map(sorted))
def test_an_interval_never_shrinks_nor_comes_to_hold_or_leave_out_0(ends):
    low, effect, high = ends
    told = rounded({"low": low, "effect": effect, "high": high})
    assert told["low"] <= told["effect"] <= told["high"]
    for name, value in (("low", low), ("effect", effect), ("high", high)):
        assert np.sign(told[name]) == np.sign(value)
        assert abs(told[name] - value) < 0.001 + 1e-9
    # Outwards, but where that would reach 0 from the other side.
    assert told["low"] <= low + 1e-9 or told["low"] == 0.001
    assert told["high"] >= high - 1e-9 or told["high"] == -0.001


@given(
    st.sampled_from([0.01, 0.02, 0.05, 0.08, 0.1]),
    st.floats(0, 1) | st.floats(-2e-6, 2e-6).map(lambda off: 0.05 + off),
)
def test_no_p_reaches_a_level_or_0_that_it_is_not_at(level, p):
    told = rounded({"p": p})["p"]
    assert (told < level, told == level) == (p < level, p == level)
    assert (told == 0) == (p == 0)
    assert told <= 1


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
    schemas = document.api["components"]["schemas"]
    for schema in (schemas[name] for name in schemas.keys() - {"AnyValue", "Scalar"}):
        for name, about in numbers(schema):
            assert name in DECIMALS or name in EXACT, name
            assert (f"Rounded to {DECIMALS.get(name)} decimals" in about) == (name in DECIMALS)
            found.add(name)
    assert found == DECIMALS.keys() | EXACT
