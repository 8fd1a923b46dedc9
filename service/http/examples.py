"""Examples of bodies and answers, made from the examples of their fields."""

from typing import Any, Final

import marshmallow as ma

EXAMPLE: Final = "sample"
"""The key of a field's metadata that holds its example; it stays out of the document's schemas."""


def described(about: str, example: Any = ma.missing, **more: Any) -> dict[str, Any]:
    """The metadata of a field: what it means, and what a value of it looks like."""
    metadata = {"description": about} if about else {}
    return metadata | more | ({} if example is ma.missing else {EXAMPLE: example})


def example_of(schema: type[ma.Schema], **changed: Any) -> dict[str, Any]:
    """An example of `schema`, with what is nested in it; `changed` by the names on the wire.

    Optional fields without an example are left out.

    Raises:
        TypeError: a required field has no example, or `changed` names no field.
    """
    example = {}
    for name, field in schema().fields.items():
        if field.dump_only:
            continue
        key = field.data_key or name
        found = changed.pop(key) if key in changed else _example(field)
        if found is not ma.missing:
            example[key] = found
        elif field.required:
            raise TypeError(f"{schema.__name__}.{name} is required and has no example")
    if changed:
        raise TypeError(f"{schema.__name__} has no fields {sorted(changed)}")
    return example


def _example(field: ma.fields.Field[Any]) -> Any:
    if EXAMPLE in field.metadata:
        return field.metadata[EXAMPLE]
    match field:
        case ma.fields.Nested():
            return example_of(type(field.schema))
        case ma.fields.List():
            inner = _example(field.inner)
            return inner if inner is ma.missing else [inner]
        case _:
            return ma.missing
