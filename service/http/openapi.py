"""Blueprints whose routes always agree with the OpenAPI document.

A `Resource` is a flask-smorest blueprint with the rules of this API built in: every route needs a
bearer token unless it is marked `public`, refuses query parameters that it does not name, and
documents the problems that follow from how it was declared. A view adds only its own.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, TypeVar

import marshmallow as ma
from flask import Flask, request
from flask_smorest import Api, Blueprint

from service.http.bearer import reader, require_token
from service.http.examples import example_of
from service.http.fields import Schema, StrictParser, refuse_query
from service.http.problems import MEDIA_TYPE, PROBLEMS
from service.http.repeatable import PARAMETER as IDEMPOTENCY_KEY
from service.http.repeatable import once
from service.http.under_way import under_way

View = TypeVar("View", bound=Callable[..., Any])

EVERY_ROUTE = ("validation", "server", "unavailable")
WITH_TOKEN = ("unauthenticated", "share-scope", "busy", "rate")
WITH_BODY = ("invalid-json", "too-large", "unsupported-media-type", "busy")
WITH_IF_MATCH = ("stale", "if-match-required")

ETAG_HEADER = {
    "description": "The version of this answer, for If-None-Match and If-Match.",
    "schema": {"type": "string", "pattern": '^(W/)?"[^"]*"$'},
    "example": '"3.5f0c4e0b7c1d2a3948576a1b"',
}
RATE_LIMIT = {
    "description": "What is left (`r`) of which quota, and in how many seconds (`t`) it is whole "
    "again. Where a quota is counted by what a request costs, `RateLimit-Policy` says of what.",
    "schema": {"type": "string"},
    "example": '"written";r=31999000;t=20',
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "ETags that the client holds; if one is current, the answer is 304.",
    "required": False,
    "schema": {"type": "string"},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "The ETag of what was read. Without it 428; if it was changed since, 412.",
    "required": True,
    "schema": {"type": "string"},
}


class FieldErrorSchema(Schema):
    """Where in the request, and what is wrong there."""

    pointer = ma.fields.String(metadata={"description": "JSON Pointer into the body"})
    parameter = ma.fields.String(metadata={"description": "Name of a query parameter"})
    detail = ma.fields.String(required=True)


class ProblemSchema(Schema):
    """Problem details (RFC 9457). `type` is stable; `title` and `detail` are for people."""

    class Meta:
        unknown = ma.INCLUDE  # some types carry further members

    type = ma.fields.String(required=True, metadata={"format": "uri"})
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    detail = ma.fields.String(required=True)
    errors = ma.fields.List(ma.fields.Nested(FieldErrorSchema), required=True)
    request_id = ma.fields.String(
        required=True, metadata={"description": "Also in the server's log and in X-Request-Id"}
    )


class Resource(Blueprint):  # type: ignore[misc] # flask-smorest ships no types
    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, __name__, description=description)
        self._prepare_doc_cbks.append(self._prepare_rules_doc)
        self._components: dict[str, type[Schema]] = {}

    def get(self, rule: str) -> Callable[[View], View]:
        return self._on("GET", rule)

    def post(self, rule: str) -> Callable[[View], View]:
        return self._on("POST", rule)

    def put(self, rule: str) -> Callable[[View], View]:
        return self._on("PUT", rule)

    def patch(self, rule: str) -> Callable[[View], View]:
        return self._on("PATCH", rule)

    def delete(self, rule: str) -> Callable[[View], View]:
        return self._on("DELETE", rule)

    def body(
        self, schema: type[Schema], *, example: Any = None, max_bytes: int | None = None
    ) -> Callable[[View], View]:
        """The JSON body, loaded and handed to the view as its next positional argument."""
        example = example_of(schema) if example is None else example
        decorate = self._decorator(self.arguments(schema(), example=example))
        return lambda view: _noted(decorate(view), max_bytes=max_bytes)

    def query(self, schema: type[Schema]) -> Callable[[View], View]:
        """The query parameters, loaded and handed to the view as its next positional argument."""
        return self._decorator(self.arguments(schema(), location="query"))

    def answers(
        self,
        status: int,
        schema: type[Schema] | dict[str, Any] | None = None,
        *,
        description: str | None = None,
        content_type: str | None = None,
        example: Any = None,
    ) -> Callable[[View], View]:
        """A way in which the view answers, for the document; the view makes the `Response`."""
        if example is None and isinstance(schema, type):
            example = example_of(schema)
        return self._decorator(
            self.response(
                status,
                schema,
                description=description,
                content_type=content_type,
                example=example,
            )
        )

    def component(self, schema: type[Schema]) -> dict[str, str]:
        """A reference to a schema that is not a body itself, but describes text inside of one."""
        name = schema.__name__.removesuffix("Schema")
        self._components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def register_views_in_doc(self, api: Api, app: Flask, spec: Any, **more: Any) -> None:
        for name, schema in self._components.items():
            spec.components.schema(name, schema=schema)
        super().register_views_in_doc(api, app, spec, **more)

    def public(self, view: View) -> View:
        """This route needs no token."""
        return _noted(view, public=True)

    def guard(self, check: Callable[[], None], *schemes: str) -> Callable[[View], View]:
        """`check` replaces the bearer token, and raises; `schemes` name it in the document."""
        return lambda view: _noted(view, guard=check, schemes=schemes)

    def shared(self, scope: str) -> Callable[[View], View]:
        """Shares with this scope may read it too."""
        schemes = ("bearer", "share")
        return lambda view: _noted(view, guard=reader(scope), schemes=schemes, scope=scope)

    def raw_body(
        self, content: dict[str, Any], *, max_bytes: int | None = None
    ) -> Callable[[View], View]:
        """A body that the view reads itself; `content` describes it by media type."""
        body = {"required": True, "content": content}
        return lambda view: _noted(view, raw_body=body, max_bytes=max_bytes)

    def problems(self, *codes: str) -> Callable[[View], View]:
        """The problems of this view besides those that follow from its declaration."""
        unknown = set(codes) - PROBLEMS.keys()
        if unknown:
            raise ValueError(f"not in the list of problems: {sorted(unknown)}")
        return lambda view: _noted(view, problems=codes)

    def etag(self, view: View) -> View:
        """The answer carries an ETag, and a GET honours If-None-Match and If-Match."""
        return _noted(view, etag_sent=True, problems=("stale",))

    def repeatable(self, view: View) -> View:
        """It makes something, and may be sent again under the same Idempotency-Key."""
        codes = ("key-reused", "request-under-way")
        return _noted(view, repeatable=True, headers_read=[IDEMPOTENCY_KEY], problems=codes)

    def if_match(self, view: View) -> View:
        """The view calls `check_preconditions`."""
        return _noted(view, if_match=True)

    def _on(self, method: str, rule: str) -> Callable[[View], View]:
        return self._decorator(self.route(rule, methods=[method]))

    @staticmethod
    def _decorator(untyped: Any) -> Callable[[View], View]:
        decorator: Callable[[View], View] = untyped
        return decorator

    def header(self, name: str, description: str) -> Callable[[View], View]:
        """A request header that the view reads, for the document."""
        parameter = {
            "in": "header",
            "name": name,
            "description": description,
            "required": False,
            "schema": {"type": "string"},
        }
        return lambda view: _noted(view, headers_read=[parameter])

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *args: Any, **kw: Any
    ) -> None:
        """Register the view behind the checks that hold for every route."""
        noted = getattr(view_func, "_apidoc", {})
        check = None if noted.get("public", False) else noted.get("guard", require_token)
        max_bytes = noted.get("max_bytes")
        is_repeatable = noted.get("repeatable", False)
        takes_query = any(
            parameter["in"] == "query"
            for parameter in noted.get("arguments", {}).get("parameters", [])
        )

        @wraps(view_func)
        def guarded(**view_args: Any) -> Any:
            if max_bytes is not None:
                request.max_content_length = max_bytes
            if check is not None:
                check()
            if not takes_query:
                refuse_query(request.args)
            with under_way():
                if is_repeatable:
                    return once(partial(view_func, **view_args))
                return view_func(**view_args)

        if "<" in rule:
            _noted(guarded, problems=("not-found",))
        super().add_url_rule(rule, endpoint, guarded, *args, **kw)

    def _prepare_rules_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any
    ) -> dict[str, Any]:
        """Document what `add_url_rule` and the marks above enforce."""
        responses = doc.setdefault("responses", {})
        parameters = doc.setdefault("parameters", [])
        parameters += doc_info.get("headers_read", [])
        responses.pop(422, None)  # flask-smorest's own; ours follows with the rest
        codes = [*EVERY_ROUTE, *doc_info.get("problems", ())]
        about = doc.get("description")
        doc["description"] = "\n\n".join(filter(None, [about, _access(doc_info)]))
        if "raw_body" in doc_info:
            doc["requestBody"] = doc_info["raw_body"]
        if "schemes" in doc_info:
            doc["security"] = [{scheme: []} for scheme in doc_info["schemes"]]
        if doc_info.get("public"):
            doc["security"] = []
        else:
            codes += WITH_TOKEN
        if "requestBody" in doc:
            codes += WITH_BODY
        if doc_info.get("if_match"):
            codes += WITH_IF_MATCH
            parameters.append(IF_MATCH)
        if doc_info.get("etag_sent"):
            for status in doc_info.get("success_status_codes", ()):
                if status != HTTPStatus.ACCEPTED:  # nothing to read yet
                    responses[status].setdefault("headers", {})["ETag"] = ETAG_HEADER
            if method == "get":
                parameters.append(IF_NONE_MATCH)
                responses[304] = {
                    "description": "The client's copy is current.",
                    "headers": {"ETag": ETAG_HEADER},
                }
        for status, response in _problem_responses(codes).items():
            if status in responses:  # another answer has this status
                response["content"] |= responses[status].get("content", {})
            responses[status] = response
        return doc


def _noted(view: View, *, problems: tuple[str, ...] = (), **marks: Any) -> View:
    """The view with marks for `Resource` in the place where flask-smorest keeps its own."""
    noted = deepcopy(getattr(view, "_apidoc", {}))
    noted |= marks
    noted["problems"] = (*noted.get("problems", ()), *problems)
    view._apidoc = noted  # type: ignore[attr-defined] # noqa: SLF001 - flask-smorest's own name
    return view


def _access(marks: dict[str, Any]) -> str:
    """Who may ask, in a sentence for the document."""
    if marks.get("public"):
        return "Needs no token."
    if "scope" in marks:
        return f"A share with the scope `{marks['scope']}` may read this too."
    if "schemes" in marks:
        scheme = marks["schemes"][0]
        return f"Only {'an' if scheme[0] in 'aeiou' else 'a'} {scheme} may ask this."
    return "Needs the person's own access token; no share opens it."


def _problem_responses(codes: list[str]) -> dict[int, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {
        status: {
            "description": "; ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in sorted(found)),
            "content": {
                MEDIA_TYPE: {
                    "schema": ProblemSchema,
                    "examples": {
                        code: {"$ref": f"#/components/examples/{code}"} for code in sorted(found)
                    },
                }
            },
            "headers": _headers(status),
        }
        for status, found in sorted(by_status.items())
    }


def _headers(status: int) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    wait = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
    match status:
        case 401:
            return {"WWW-Authenticate": {"description": "How to sign in.", **text}}
        case 429:
            return {"Retry-After": wait, "RateLimit": RATE_LIMIT}
        case 503:
            return {"Retry-After": wait}
        case _:
            return {}
