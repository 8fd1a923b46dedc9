"""A shape is written once: examples and writers are made of the schema, and agree with it."""

import importlib
import json
import pkgutil
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import marshmallow as ma
import msgspec
import pytest

import service.resources
import service.shapes
from service.http import out
from service.http.answers import dumps
from service.http.examples import EXAMPLE, example_of
from service.http.fields import Schema, Text
from service.http.structs import schema_of
from service.http.writing import writer

BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 3, 1, 6, 30, tzinfo=UTC), "2026-03-01T06:30:00.000000Z"),
        (datetime(2026, 3, 1, 6, 30, 0, 7, tzinfo=UTC), "2026-03-01T06:30:00.000007Z"),
        (datetime(2026, 3, 1, 0, 30, tzinfo=BERLIN), "2026-02-28T23:30:00.000000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
        (datetime(2026, 3, 1, 6, 30, tzinfo=ZoneInfo("UTC")), "2026-03-01T06:30:00.000000Z"),
        (date(2026, 3, 1), "2026-03-01"),
    ],
)
def test_every_time_has_one_form(value, written):
    assert json.loads(dumps([value, {"at": value}])) == [written, {"at": written}]


def shown_schemas():
    """Every schema that is of answers alone, by name."""
    for room in (service.resources, service.shapes):
        for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                if isinstance(value, type) and issubclass(value, Schema) and is_shown(value):
                    yield name, value


def is_shown(schema):
    fields = schema().fields.values()
    return bool(fields) and all(field.required and has_example(field) for field in fields)


def has_example(field):
    held = getattr(field, "inner", field)
    if EXAMPLE in (field.metadata | held.metadata):
        return True
    return isinstance(held, ma.fields.Nested) and is_shown(type(held.schema))


def must_be_given(schema):
    return [name for name, field in schema().fields.items() if out.GIVEN in field.metadata]


def is_page(schema):
    """What it holds is written by itself, by its view."""
    fields = [one for one in schema().fields.values() if out.GIVEN not in one.metadata]
    held = [getattr(field, "inner", field) for field in fields]
    nested = [type(one.schema) for one in held if isinstance(one, ma.fields.Nested)]
    return any(must_be_given(one) or is_page(one) for one in nested)


SHOWN = dict(shown_schemas())
WRITTEN = {name: schema for name, schema in SHOWN.items() if not is_page(schema)}


def row_of(schema, example):
    """The row that `example` would be written of, as an object with attributes."""
    row = SimpleNamespace()
    for name, field in schema().fields.items():
        if out.GIVEN in field.metadata:
            continue
        at, value = row, stored(field, example[name])
        *rooms, last = (field.attribute or name).split(".")
        for room in rooms:
            if not hasattr(at, room):
                setattr(at, room, SimpleNamespace())
            at = getattr(at, room)
        setattr(at, last, value)
    return row


def stored(field, value):
    kinds = {
        ma.fields.DateTime: datetime.fromisoformat,
        ma.fields.Date: date.fromisoformat,
        ma.fields.UUID: UUID,
    }
    match field:
        case _ if value is None:
            return None
        case ma.fields.Nested(schema=nested) if all(one.required for one in nested.fields.values()):
            return row_of(type(nested), value)
        case ma.fields.List(inner=inner):
            return [stored(inner, one) for one in value]
        case _:
            return kinds.get(type(field), lambda same: same)(value)  # type: ignore[operator]


def test_answers_are_found():
    assert {
        "SessionPageSchema",
        "FindingSchema",
        "DeviceSchema",
        "DiaryEntrySchema",
    } <= SHOWN.keys()


@pytest.mark.parametrize("schema", WRITTEN.values(), ids=WRITTEN)
def test_a_row_of_the_examples_values_is_written_as_the_example(schema):
    example = example_of(schema)
    given = {name: example[name] for name in must_be_given(schema)}
    written = json.loads(dumps(writer(schema)(row_of(schema, example), **given)))
    assert written == json.loads(json.dumps(example))
    assert list(written) == list(schema().fields)


class Leaf(Schema):
    share = out.number(0.5, null=True)
    note = out.text(None, null=True)
    at = out.instant("2026-03-01T18:00:00.000000Z", source="happened_at")


class Tree(Schema):
    leaf = out.nested(Leaf, null=True)
    leaves = out.many(Leaf)
    named = out.table({}, values=Leaf)
    extra = ma.fields.Integer()


MOMENT = datetime(2026, 3, 1, 18, tzinfo=UTC)
STORED = {"share": 1 / 3, "note": None, "happened_at": MOMENT, "unknown": 7}
SHOWN_LEAF = {"share": 0.3333, "note": None, "at": MOMENT}


@pytest.mark.parametrize("make", [dict, SimpleNamespace])
def test_what_is_nested_is_written_from_dicts_and_from_objects(make):
    leaf = make(**STORED)
    row = make(leaf=leaf, leaves=[leaf, leaf], named={"a": leaf}, extra=3)
    assert writer(Tree)(row) == {
        "leaf": SHOWN_LEAF,
        "leaves": [SHOWN_LEAF, SHOWN_LEAF],
        "named": {"a": SHOWN_LEAF},
        "extra": 3,
    }


def test_what_may_be_missing_is_null_or_left_out_and_all_else_is_an_error():
    row = {"leaf": None, "leaves": [{"happened_at": MOMENT}], "named": {}}
    assert writer(Tree)(row) == {
        "leaf": None,
        "leaves": [{"share": None, "note": None, "at": MOMENT}],
        "named": {},
    }
    with pytest.raises(KeyError, match="happened_at"):
        writer(Leaf)({"share": 0.5, "note": None})


class Given(Schema):
    name = out.text("a")
    share = out.number(0.5, source=out.GIVEN)


def test_what_the_row_does_not_have_is_given_and_rounded_too():
    assert writer(Given)({"name": "a"}, share=2 / 3) == {"name": "a", "share": 0.6667}
    with pytest.raises(TypeError, match="share"):
        writer(Given)({"name": "a"})


def test_nobody_could_give_it_to_one_that_is_nested():
    with pytest.raises(TypeError, match="Given cannot be nested"):
        writer(Schema.from_dict({"items": out.many(Given)}))


def test_an_example_is_composed_and_changed_by_name():
    assert example_of(Tree, named={"x": 1}) == {
        "leaf": example_of(Leaf),
        "leaves": [example_of(Leaf)],
        "named": {"x": 1},
    }
    with pytest.raises(TypeError, match="colour"):
        example_of(Leaf, colour="red")


def test_a_required_field_without_an_example_is_noticed_at_the_start():
    with pytest.raises(TypeError, match="name is required and has no example"):
        example_of(Schema.from_dict({"name": Text(required=True)}))


class Odd(msgspec.Struct):
    anything: int | str


def test_a_struct_that_no_field_can_say_is_refused():
    with pytest.raises(TypeError, match="no field fits"):
        schema_of(Odd, "OddSchema", example=Odd(anything=1))
