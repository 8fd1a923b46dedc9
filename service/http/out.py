"""Fields of answers: marshmallow's, each required, with an example and a description.

`null`: the value may be missing. `source`: the row's attribute, if its name differs; or GIVEN, if
the row does not have the value and the view passes it to the writer.
"""

from collections.abc import Iterable
from typing import Any, Final

import marshmallow as ma

from service.http.examples import described

AnyField = ma.fields.Field[Any]
GIVEN: Final = "given"


def text(
    example: str | None,
    about: str = "",
    *,
    null: bool = False,
    one_of: Iterable[Any] | None = None,
    source: str | None = None,
) -> AnyField:
    validate = None if one_of is None else ma.validate.OneOf([str(one) for one in one_of])
    return _field(ma.fields.String, described(about, example), null, source, validate=validate)


def uuid(
    example: str | None, about: str = "", *, null: bool = False, source: str | None = None
) -> AnyField:
    return _field(ma.fields.UUID, described(about, example), null, source)


def whole(
    example: int | None, about: str = "", *, null: bool = False, source: str | None = None
) -> AnyField:
    return _field(ma.fields.Integer, described(about, example), null, source)


def number(
    example: float | None, about: str = "", *, null: bool = False, source: str | None = None
) -> AnyField:
    """A number, rounded by its name (`rounding`)."""
    return _field(ma.fields.Float, described(about, example), null, source)


def flag(example: bool, about: str = "", *, source: str | None = None) -> AnyField:
    return _field(ma.fields.Boolean, described(about, example), False, source)


def instant(
    example: str | None, about: str = "", *, null: bool = False, source: str | None = None
) -> AnyField:
    return _field(ma.fields.DateTime, described(about, example), null, source)


def day(
    example: str | None, about: str = "", *, null: bool = False, source: str | None = None
) -> AnyField:
    return _field(ma.fields.Date, described(about, example), null, source)


def nested(
    schema: type[ma.Schema],
    about: str = "",
    *,
    null: bool = False,
    source: str | None = None,
    example: Any = ma.missing,
) -> AnyField:
    return _field(ma.fields.Nested, described(about, example), null, source, nested=schema)


def many(
    inner: type[ma.Schema] | AnyField,
    about: str = "",
    *,
    null: bool = False,
    source: str | None = None,
    example: Any = ma.missing,
) -> AnyField:
    """A list. If no example is given, it holds one example item."""
    held = ma.fields.Nested(inner) if isinstance(inner, type) else inner
    metadata = described(about, example)
    return _field(ma.fields.List, metadata, null, source, cls_or_instance=held)


def table(
    example: Any,
    about: str = "",
    *,
    values: type[ma.Schema] | AnyField | None = None,
    null: bool = False,
    source: str | None = None,
    **more: Any,
) -> AnyField:
    """Values by name, each like `values` if given; `more` goes into the document's schema."""
    keys = None if values is None else ma.fields.String()
    held = ma.fields.Nested(values) if isinstance(values, type) else values
    metadata = described(about, example, **more)
    return _field(ma.fields.Dict, metadata, null, source, keys=keys, values=held)


def _field(
    kind: type[AnyField], metadata: dict[str, Any], null: bool, source: str | None, **more: Any
) -> AnyField:
    if source == GIVEN:
        metadata, source = metadata | {GIVEN: True}, None
    return kind(required=True, allow_none=null, attribute=source, metadata=metadata, **more)
