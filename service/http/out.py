"""Fields of answers: marshmallow's, each required, with an example and with what it means.

`null` says that the value may be missing. `source` is where the row has it, if not under its own
name, or GIVEN: the row does not have it, and who writes the answer gives it.
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
    """A number that leaves rounded by its name, as `rounding` says."""
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
    """A list; its example is one of what it holds, if no other is given."""
    held = ma.fields.Nested(inner) if isinstance(inner, type) else inner
    told = described(about, example)
    return _field(ma.fields.List, told, null, source, cls_or_instance=held)


def table(
    example: Any,
    about: str = "",
    *,
    values: type[ma.Schema] | AnyField | None = None,
    null: bool = False,
    source: str | None = None,
    **more: Any,
) -> AnyField:
    """Values by name: any, or such as `values`; `more` goes into the document's schema."""
    keys = None if values is None else ma.fields.String()
    held = ma.fields.Nested(values) if isinstance(values, type) else values
    told = described(about, example, **more)
    return _field(ma.fields.Dict, told, null, source, keys=keys, values=held)


def _field(
    kind: type[AnyField], metadata: dict[str, Any], null: bool, source: str | None, **more: Any
) -> AnyField:
    if source == GIVEN:
        metadata, source = metadata | {GIVEN: True}, None
    return kind(required=True, allow_none=null, attribute=source, metadata=metadata, **more)
