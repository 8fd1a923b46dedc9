"""The OpenAPI document as a whole: what it begins with, and how it is finished."""

from typing import Any, NamedTuple

from flask import Flask
from flask_smorest import Api

from service.http import deprecations, for_generators, rounding
from service.http.answers import dumps
from service.http.etags import digest_of
from service.http.openapi import ProblemSchema

_KEY = "cymba-openapi"


class Document(Api):  # type: ignore[misc] # flask-smorest ships no types
    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each route names its own problems

    def _register_error_handlers(self) -> None:
        """`problems.register` does it, for errors outside of any blueprint too."""


def make_document(app: Flask, *, version: str, public_url: str | None) -> Document:
    """The API's document, to which `register_blueprint` adds each resource."""
    app.config["API_TITLE"] = "Cymba"
    app.config["API_VERSION"] = version
    app.config["OPENAPI_VERSION"] = "3.1.1"
    document = Document(
        app,
        spec_kwargs={
            "info": {
                "description": DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
                "contact": {"name": "Whoever runs this server"},
            },
            "servers": [{"url": public_url or "/"}],
            "security": [{"bearer": []}],
        },
    )
    document.spec.components.security_scheme(
        "bearer",
        {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` of `POST /v1/auth/token`.",
        },
    )
    document.spec.components.security_scheme(
        "share",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "The `token` of `POST /v1/shares`; of a share for a clinician it goes "
            "into the header `Cymba-Share`, beside their own access token.",
        },
    )
    document.spec.components.security_scheme(
        "receipt",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "The `token` of the receipt that `DELETE /v1/account` gives.",
        },
    )
    document.spec.components.security_scheme(
        "operator",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "The access token of an account with the role `operator`.",
        },
    )
    document.spec.components.security_scheme(
        "ticket",
        {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "The `ticket` of `POST /v1/sync/live-ticket`, once.",
        },
    )
    document.spec.components.security_scheme(
        "device",
        {
            "type": "http",
            "scheme": "basic",
            "description": "The device's id and its MQTT secret.",
        },
    )
    document.spec.components.security_scheme(
        "broker",
        {"type": "http", "scheme": "bearer", "description": "`CYMBA_BROKER_HTTP_SECRET`."},
    )
    document.spec.components.security_scheme(
        "broker_query",
        {
            "type": "apiKey",
            "in": "query",
            "name": "secret",
            "description": "The same, for brokers that can send no header.",
        },
    )
    return document


def finish_document(document: Document, app: Flask) -> dict[str, Any]:
    """The whole document as plain values, with an `operationId` for each operation."""
    built: dict[str, Any] = document.spec.to_dict()
    views = {
        (rule.rule, method): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    names = {
        (document.flask_plugin.flaskpath2openapi(rule), method.lower()): endpoint.rpartition(".")[2]
        for (rule, method), endpoint in views.items()
    }
    for path, method, operation in for_generators.operations(built):
        operation["operationId"] = names[path, method]
        deprecations.describe(operation)
    del built["components"]["schemas"]["PaginationMetadata"]  # flask-smorest's; pages have cursors
    for schema in built["components"]["schemas"].values():
        rounding.describe(schema)
    for_generators.prepare(built)
    return built


class FinishedDocument(NamedTuple):
    body: bytes
    digest: str


def keep(document: dict[str, Any]) -> dict[str, FinishedDocument]:
    """The finished document as the application holds it: in bytes, made once."""
    body = dumps(document)
    return {_KEY: FinishedDocument(body, digest_of(body))}


def document_of(app: Flask) -> FinishedDocument:
    """What `keep` kept."""
    document: FinishedDocument = app.extensions[_KEY]
    return document


DESCRIPTION = """\
The API of a companion app for transcutaneous vagus nerve stimulators: sessions and their
telemetry, devices, history.

* **Times** are RFC 3339 in UTC, with six digits of a second. Anything by day goes by the
  account's IANA time zone.
* **Errors** are problem details (RFC 9457); `type` is stable, `errors[]` names fields.
* **Language**: titles, advice, questions, consents and problems are in the language of the
  account's `locale`, on every phone of the account, and `Content-Language` names it. Before there
  is an account, and to who looks by a share, `Accept-Language` decides: English or German. If it
  names neither, a share is read in the language of its account. Codes and `type` are the same in
  all. A text that is proof of what was read has its language in its version, as `1/de`.
* **Pages** are `{"items": […], "next_cursor": …}`; a cursor is opaque and good for the same query.
* **Versions**: reads carry an `ETag`; a change must send it back as `If-Match`.
* **Sending again**: a `POST` that makes something takes an `Idempotency-Key`, so that a request
  whose answer was lost can be sent again and makes nothing twice.
* **Numbers** that were computed are rounded to what they can mean; each field says how far.
* **Unknown** fields and query parameters are refused with 422.
* **What is to come**: answers get new members and values, and an app passes over those that it does
  not know. What will go says so for a year, by `Deprecation` and `Sunset`. `GET /v1/version` names
  the least app that this server is for.
* **Limits**: what changes something says in `RateLimit` what is left; a 429 has `Retry-After`.
* Another person's things answer 404, like things that do not exist.

Nothing here is medical advice, and no number here says that stimulation treats anything.
"""
