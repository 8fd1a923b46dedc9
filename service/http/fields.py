"""Fields of requests. They are strict: no unknown field, no coercion, no NUL."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict

from cymba.accounts import addresses, passwords
from cymba.accounts.written_fields import whole
from cymba.errors import Rejected
from cymba.voice import said
from service.http.examples import described
from service.http.field_texts import as_text
from service.http.json_bodies import body_of, read_json


class PutBack(NamedTuple):
    """What a body may hold besides the fields of its schema (`put_back`)."""

    own: frozenset[str]
    made: frozenset[str]
    record: str
    told_by: str


class Schema(ma.Schema):
    """The base of every schema of the API; a field that it does not name is an error."""

    class Meta:
        unknown = ma.RAISE

    put_back: ClassVar[PutBack | None] = None

    @ma.pre_load
    def pass_over(self, data: Any, **_: Any) -> Any:
        """The body without what only the server makes. A push names its changes and no more."""
        again = self.put_back
        if again is None or self.partial or not isinstance(data, dict):
            return data
        body = {name: value for name, value in data.items() if name not in again.made}
        record, others = data.get(again.record), data.get(again.told_by)
        if isinstance(record, dict):
            named = body.keys() - (others if isinstance(others, dict) else ())
            body |= {name: record[name] for name in again.own - named if name in record}
        return body


class Pattern(ma.validate.Regexp):
    """The whole text must match; Python's `$` alone would let a line break pass at the end."""

    def __call__(self, value: Any) -> Any:
        if self.regex.fullmatch(value) is None:
            raise ma.ValidationError(self._format_error(value))
        return value


class _Described(ma.fields.Field[Any]):
    """`about` and `example` describe the field in the document."""

    def __init__(
        self,
        *,
        about: str = "",
        example: Any = ma.missing,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(metadata=described(about, example, **(metadata or {})), **kwargs)


class Text(_Described, ma.fields.String):
    """Text that PostgreSQL can store: without NUL characters."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and "\0" in text:
            raise ma.ValidationError("Must not hold a NUL character.")
        return text


class Email(Text):
    """An e-mail address, in the form in which it is stored."""

    def __init__(self, **kwargs: Any) -> None:
        length = ma.validate.Length(max=addresses.MAX_CHARACTERS)
        super().__init__(validate=length, metadata={"format": "email"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return text if text is None else addresses.parse(text)
        except addresses.NoAddress as error:
            raise ma.ValidationError(error.detail) from None


class Password(Text):
    """A password as it is given. A `new` one is checked for its length here."""

    def __init__(self, *, new: bool = False, **kwargs: Any) -> None:
        least = passwords.MIN_CHARACTERS if new else None
        length = ma.validate.Length(min=least, max=passwords.MAX_CHARACTERS)
        super().__init__(validate=length, metadata={"format": "password"}, **kwargs)


EXACT_IN_JSON: Final = 2**53 - 1  # beyond it, JavaScript's numbers skip integers


class Whole(_Described, ma.fields.Integer):
    """An integer. A body may write it as `5.0`, as some languages do, but not as `"5"`. In a query
    every value is text."""

    def __init__(self, *, in_query: bool = False, **kwargs: Any) -> None:
        self.in_query = in_query
        super().__init__(strict=True, **kwargs)

    def _validated(self, value: Any) -> int:
        if self.in_query:
            if not (isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)):
                raise self.make_error("invalid", input=value)
            value = int(value)
        elif not isinstance(value := whole(value), int) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        if abs(value) > EXACT_IN_JSON:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Number(_Described, ma.fields.Float):
    """A finite JSON number; `"5"` and `true` are errors."""

    def _validated(self, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        try:
            return super()._validated(value)
        except OverflowError:
            raise self.make_error("invalid", input=value) from None


class Flag(_Described, ma.fields.Boolean):
    """`true` or `false`; not "yes", 1 or "on"."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Instant(_Described, ma.fields.AwareDateTime):
    """RFC 3339 with an offset; the view gets it in UTC."""

    _FORM = re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
        r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
    )

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not (isinstance(value, str) and self._FORM.fullmatch(value)):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class SpanInOrder(ma.Schema):
    """For a schema with the moments `from` and `to`, each of which may be absent."""

    @ma.validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        if "begin" in data and "end" in data and data["begin"] > data["end"]:
            raise ma.ValidationError("Must not be before `from`.", "to")


class Day(_Described, ma.fields.Date):
    """A day such as 2026-03-01, in this form only."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> date:
        if not (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class StrictParser(FlaskParser):
    """Reads bodies by `read_json`, and raises our problems."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012 - webargs' own protocol
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": ma.RAISE,
        "json": ma.RAISE,
    }

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        del schema
        return read_json(body_of(req))

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        refuse_repeated(req.args)
        return super().load_querystring(req, schema)

    def handle_error(
        self,
        error: ma.ValidationError,
        req: Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        del req, schema, error_status_code, error_headers
        raise validation_failed(error.messages)


def validation_failed(messages: Any) -> Rejected:
    """marshmallow's nested messages as the flat `errors[]` of a problem.

    Args:
        messages: by location (`json`, `query` …), then nested as the fields are.
    """
    errors = []
    for location, nested in messages.items():
        for path, text in _flat(nested, ()):
            if location == "json":
                pointer = "".join(f"/{str(p).replace('~', '~0').replace('/', '~1')}" for p in path)
                errors.append({"pointer": pointer, "detail": as_text(text)})
            else:
                errors.append({"parameter": str(path[0]) if path else "", "detail": as_text(text)})
    return Rejected(
        "The request was not understood in full, so nothing was done.",
        code="validation",
        errors=errors,
    )


def refuse_repeated(args: MultiDict[str, str]) -> None:
    """A parameter that is given twice is ambiguous."""
    repeated = [name for name, values in args.lists() if len(values) > 1]
    if repeated:
        raise validation_failed(
            {"query": {name: [said("Given more than once.")] for name in repeated}}
        )


def refuse_query(args: MultiDict[str, str]) -> None:
    """For a route that takes no query parameters at all."""
    if args:
        raise validation_failed({"query": {name: ["Unknown field."] for name in args}})


def _flat(nested: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(nested, dict):
        for key, value in nested.items():
            yield from _flat(value, path if key == "_schema" else (*path, key))
    elif isinstance(nested, list):
        for value in nested:
            yield from _flat(value, path)
    else:
        yield path, str(nested)
