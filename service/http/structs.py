"""Schemas made from the structs of the wire protocol, with bounds, choices and defaults."""

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import marshmallow as ma
import msgspec
from msgspec import inspect

from service.http.examples import described
from service.http.fields import Flag, Number, Pattern, Schema, Text, Whole

AnyField = ma.fields.Field[Any]


def schema_of(
    struct: type[msgspec.Struct],
    name: str,
    *,
    example: msgspec.Struct,
    about: Mapping[str, str] | None = None,
    shown: bool = False,
    **changed: AnyField,
) -> type[Schema]:
    """A schema of `struct`: for bodies, or if `shown` for answers, which name every field.

    Fields that the struct omits at their default are optional in both.

    Args:
        example: a value of the struct, whose fields are the examples.
        about: what fields mean, where their names and units do not say it.
        changed: fields that the API shows in another way.
    """
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - for mypy
    examples = msgspec.to_builtins(example)
    hints = get_type_hints(struct)
    fields: dict[str, AnyField] = {}
    for field in info.fields:
        if field.name in changed:
            fields[field.name] = changed[field.name]
            continue
        kind, is_null = _without_none(field.type)
        metadata = described(
            (about or {}).get(field.name, ""), examples.get(field.name, ma.missing)
        )
        options: dict[str, Any] = {"metadata": metadata}
        if struct.__struct_config__.omit_defaults:
            options["required"] = field.required
        elif shown or field.required:
            options |= {"required": True, "allow_none": is_null}
        else:
            options |= {"load_default": field.default, "allow_none": is_null}
        fields[field.name] = _field(kind, _choices(hints[field.name]), options)
    # marshmallow types what it makes as its own `Schema`.
    return cast("type[Schema]", Schema.from_dict(fields, name=name))


def _without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if len(others) != 1:
        raise TypeError(f"no field fits {kind}: pass one in `changed`")
    return others[0], len(others) < len(kind.types)


def _choices(hint: Any) -> tuple[Any, ...]:
    """What a literal, or one that may also be None, lists, in its order."""
    arguments = get_args(hint)
    literals = [get_args(one) for one in arguments if get_origin(one) is Literal]
    return literals[0] if literals else arguments


def _field(kind: inspect.Type, choices: tuple[Any, ...], options: dict[str, Any]) -> AnyField:
    field: AnyField
    match kind:
        case inspect.BoolType():
            field = Flag(**options)
        case inspect.IntType():
            field = Whole(validate=_range(kind), **options)
        case inspect.FloatType():
            field = Number(validate=_range(kind), **options)
        case inspect.LiteralType():
            field = Text(validate=ma.validate.OneOf(choices), **options)
        case inspect.StrType():
            field = Text(validate=_text_rules(kind), **options)
        case inspect.ListType():
            field = ma.fields.List(_field(kind.item_type, (), {}), **options)
        case inspect.TupleType(item_types=items) if all(one == items[0] for one in items):
            length = ma.validate.Length(equal=len(items))
            field = ma.fields.List(_field(items[0], (), {}), validate=length, **options)
        case _:
            raise TypeError(f"no field fits {kind}: pass one in `changed`")
    return field


def _range(kind: inspect.IntType | inspect.FloatType) -> list[ma.validate.Validator]:
    low = kind.ge if kind.gt is None else kind.gt
    high = kind.le if kind.lt is None else kind.lt
    if low is None and high is None:
        return []
    return [
        ma.validate.Range(
            min=low, max=high, min_inclusive=kind.gt is None, max_inclusive=kind.lt is None
        )
    ]


def _text_rules(kind: inspect.StrType) -> list[ma.validate.Validator]:
    rules: list[ma.validate.Validator] = []
    if kind.min_length is not None or kind.max_length is not None:
        rules.append(ma.validate.Length(min=kind.min_length, max=kind.max_length))
    if kind.pattern is not None:
        rules.append(Pattern(kind.pattern))
    return rules
