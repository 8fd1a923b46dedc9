"""Functions that make answers from rows. They are compiled from the schemas, once, at the start.

marshmallow's own dump inspects each field again for each row, which costs more than all the rest of
a page. A schema never changes while the service runs: where the row has a value, what is nested in
it, how it is rounded. So each schema is written out as source once.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import marshmallow as ma

from service.http.out import GIVEN, AnyField
from service.http.rounding import DECISIVE, LARGEST, SCALES, decided

Writer = Callable[..., dict[str, Any]]
Fields = dict[str, AnyField]


def writer(schema: type[ma.Schema]) -> Writer:
    """A function from a row to what `schema` describes, in plain values for `answers`.

    A row is a dict, or an object with attributes. Fields that are GIVEN are the function's keyword
    arguments; they are rounded and not changed otherwise.
    """
    fields: Fields = schema().fields
    if schema.opts.unknown == ma.INCLUDE:
        return dict  # it has fields that it does not name
    given = [name for name, field in fields.items() if GIVEN in field.metadata]
    names: dict[str, Any] = {"decided": decided, "in_order": in_order}
    lines = [f"def write(row{', *, ' if given else ''}{', '.join(given)}):"]
    lines += ["    if isinstance(row, dict):"]
    lines += [f"        {line}" for line in _of_dict(fields, names)]
    lines += [f"    return {_display(fields, names, _attribute)}"]
    # The source is made of names that this program gave to its fields, and of nothing else.
    exec(compile("\n".join(lines), f"<writer of {schema.__name__}>", "exec"), names)  # noqa: S102
    compiled: Writer = names["write"]
    return compiled


@cache
def _nested_writer(schema: type[ma.Schema]) -> Writer:
    given = [name for name, field in schema().fields.items() if GIVEN in field.metadata]
    if given:
        raise TypeError(f"{schema.__name__} cannot be nested: its fields {given} are GIVEN")
    return writer(schema)


def _of_dict(fields: Fields, names: dict[str, Any]) -> list[str]:
    """A dict may lack fields that are optional."""
    always = {name: field for name, field in fields.items() if field.required}
    lines = [f"shown = {_display(always, names, _subscript)}"]
    for name, field in fields.items():
        if name not in always:
            entry = _written(name, field, _subscript(name, field), names)
            lines.append(f"if {name!r} in row: shown[{name!r}] = {entry}")
    return [*lines, "return shown"]


def _display(fields: Fields, names: dict[str, Any], source: Callable[[str, AnyField], str]) -> str:
    entries = []
    for name, field in fields.items():
        if GIVEN in field.metadata:
            entry = _rounded(name, field, name)
        else:
            entry = _written(name, field, source(name, field), names)
        entries.append(f"{name!r}: {entry}")
    return f"{{{', '.join(entries)}}}"


def _attribute(name: str, field: AnyField) -> str:
    return f"row.{field.attribute or name}"


def _subscript(name: str, field: AnyField) -> str:
    # A dict that an earlier version stored may lack a field that may be null.
    key = repr(field.attribute or name)
    return f"row.get({key})" if field.allow_none else f"row[{key}]"


def _written(name: str, field: AnyField, value: str, names: dict[str, Any]) -> str:
    """The expression that writes `value` as `field` says."""
    match field:
        case ma.fields.Nested():
            return f"None if (held := {value}) is None else {_nested(field, names)}(held)"
        case ma.fields.List(inner=ma.fields.Nested() as inner):
            each = f"[{_nested(inner, names)}(one) for one in held]"
            return f"None if (held := {value}) is None else {each}"
        case ma.fields.Dict(value_field=ma.fields.Nested() as inner):
            each = f"{{name: {_nested(inner, names)}(held[name]) for name in sorted(held)}}"
            return f"None if (held := {value}) is None else {each}"
        case _:
            return _rounded(name, field, value)


def _nested(field: ma.fields.Nested, names: dict[str, Any]) -> str:
    schema = type(field.schema)
    name = f"write_{schema.__name__}_{id(schema)}"  # two schemas may share a name
    names[name] = _nested_writer(schema)
    return name


def in_order(value: Any) -> Any:
    """Tables by name. PostgreSQL keeps another order than a request had, and both answers must have
    the same tag."""
    if type(value) is not dict:
        return value
    return {
        name: in_order(held) if type(held := value[name]) is dict else held
        for name in sorted(value)
    }


def _rounded(name: str, field: AnyField, value: str) -> str:
    if isinstance(field, ma.fields.Dict):
        return f"in_order({value})"
    if name not in SCALES or not isinstance(field, ma.fields.Float):
        return value
    # Over integers: half the time of `round(value, places)`, and never -0.0.
    steps = f"decided({name!r}, held)" if name in DECISIVE else f"round(held * {SCALES[name]!r})"
    is_rounded = f"isinstance(held := {value}, float) and {-LARGEST} < held < {LARGEST}"
    return f"{steps} / {SCALES[name]!r} if {is_rounded} else held"
