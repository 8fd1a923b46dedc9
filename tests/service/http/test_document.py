"""The document is whole and true, and its page needs nothing from elsewhere."""

import json
import re

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from cymba import errors
from service.http.problems import MEDIA_TYPE, PROBLEMS

METHODS = {"get", "put", "post", "patch", "delete"}
PUBLIC = {
    ("post", "/v1/accounts"),
    ("post", "/v1/auth/token"),
    ("post", "/v1/auth/refresh"),
    ("post", "/v1/auth/logout"),
    ("get", "/v1/auth/oidc"),
    ("post", "/v1/auth/oidc/{provider}/start"),
    ("post", "/v1/auth/oidc/{provider}/finish"),
    ("post", "/v1/auth/oidc/{provider}/id-token"),
    ("post", "/v1/auth/reset"),
    ("post", "/v1/auth/reset/confirm"),
    ("post", "/v1/account/email/confirm"),
    ("get", "/"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/v1/version"),
    ("get", "/v1/openapi.json"),
    ("get", "/docs"),
    ("get", "/docs/docs.js"),
    ("get", "/docs/docs.css"),
    ("get", "/docs/scalar.js"),
}


@pytest.fixture
def operations(document):
    return {
        (method, path): operation
        for path, item in document.api["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_it_is_openapi_3_1(document):
    assert document.api["openapi"].startswith("3.1")
    validator = jsonschema_rs.validator_for(OPENAPI_31)
    assert [error.message for error in validator.iter_errors(document.api)] == []


def test_every_route_of_the_application_is_in_it(app, operations):
    """But the companion's, which is a page, and FHIR's and OAuth's, which have documents of their
    own."""
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(("companion.", "fhir.", "oauth."))
    ]
    template = {rule.rule: re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule) for rule in rules}
    routes = {
        (method.lower(), template[rule.rule])
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == operations.keys()


def test_only_these_routes_need_no_token(operations):
    public = {route for route, operation in operations.items() if operation.get("security") == []}
    assert public == PUBLIC


def test_every_operation_is_named_and_explained(operations):
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in operations.values())
    assert all(operation["description"] for operation in operations.values())


def test_every_parameter_is_explained(document, operations):
    parts = [item.get("parameters", []) for item in document.api["paths"].values()]
    parts += [operation.get("parameters", []) for operation in operations.values()]
    assert [one["name"] for part in parts for one in part if not one.get("description")] == []


def objects(part):
    if isinstance(part, dict):
        yield part
    for held in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(held)


def test_a_generator_can_make_a_type_of_everything(client):
    document = client.get("/v1/openapi.json").json
    for one in objects(document["components"]["schemas"]):
        if not isinstance(one.get("type"), str | list):  # "properties" may name one "type"
            continue
        kinds = [one["type"]] if isinstance(one["type"], str) else one["type"]
        assert len(set(kinds) - {"null"}) <= 1, one
        assert one.get("additionalProperties") not in (True, {}), one
        if "integer" in kinds and "enum" not in one:
            bits = 31 if one["format"] == "int32" else 53
            assert -(2**bits) < one["minimum"] <= one["maximum"] < 2**bits, one
        if "object" in kinds:
            assert "maxLength" not in one, one
        assert "(?" not in str(one.get("pattern", "")), "RE2 knows no lookahead"


def test_no_answer_forbids_what_a_later_version_may_add(client):
    document = client.get("/v1/openapi.json").json
    schemas = document["components"]["schemas"]
    answers = [one["responses"] for one in objects(document["paths"]) if "responses" in one]
    reached, left = set(), set(re.findall(r"#/components/schemas/(\w+)", json.dumps(answers)))
    while left:
        reached |= left
        held = json.dumps([schemas[name] for name in left])
        left = set(re.findall(r"#/components/schemas/(\w+)", held)) - reached
    assert len(reached) > 50
    assert [n for n in reached if schemas[n].get("additionalProperties") is False] == []


def test_what_problems_say_is_written_once(client):
    """Each operation names dozens of problems; written out they were two thirds of the whole."""
    paths = client.get("/v1/openapi.json").json["paths"]
    assert not [one for one in objects(paths) if one.get("content", {}).keys() == {MEDIA_TYPE}]


def test_every_route_names_its_problems(operations):
    for (method, path), operation in operations.items():
        described = operation["responses"]
        always = {"422", "500", "503"}
        if operation.get("security") != []:
            always.add("401")
        if "requestBody" in operation:
            always |= {"400", "413", "415"}
        if any(one["name"] == "If-Match" for one in operation.get("parameters", [])):
            always |= {"412", "428"}
        assert always <= described.keys(), f"{method} {path}"
        for status in always:
            assert "application/problem+json" in described[status]["content"]


# Ended at once, whatever it looked like when it was read.
ENDED = {
    ("delete", "/v1/account/identities/{identity_id}"),
    ("delete", "/v1/account/sign-ins"),
    ("delete", "/v1/account/sign-ins/{sign_in_id}"),
    ("delete", "/v1/consents/{purpose}"),
    ("delete", "/v1/operator/suspensions/{device_id}"),
    ("delete", "/v1/shares/{share_id}"),
    ("delete", "/v1/shares/received/{share_id}"),
}


# What a device is, in its own words: nobody edits it.
SAID_BY_DEVICES = {("put", "/v1/devices/{device_id}/reported")}
# A piece of a file is the same whenever it is sent.
PIECES = {("put", "/v1/imports/{import_id}/pieces/{piece}")}


def test_every_change_of_something_versioned_takes_if_match(operations):
    for (method, path), operation in operations.items():
        excepted = ENDED | SAID_BY_DEVICES | PIECES
        if method in {"patch", "put", "delete"} and (method, path) not in excepted:
            headers = [one["name"] for one in operation["parameters"] if one["in"] == "header"]
            assert "If-Match" in headers, f"{method} {path}"


def test_every_example_fits_its_schema(document, operations):
    seen = 0
    for operation in operations.values():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (media for body in bodies for media in body.get("content", {}).values()):
            examples = [one["value"] for one in media.get("examples", {}).values()]
            examples += [media["example"]] if "example" in media else []
            for example in examples:
                document.validate(example, media["schema"])
                seen += 1
    assert seen > len(operations)


def test_the_examples_events_fit_their_schemas(document):
    answer = document.api["paths"]["/v1/sessions/{session_id}/live"]["get"]["responses"]["200"]
    example = answer["content"]["text/event-stream"]["example"]
    sent = re.findall(r"event: (\w+)\nid: \S+\ndata: (.*)\n\n", example)
    assert [name for name, _ in sent] == ["start", "samples", "end"]
    for name, data in sent:
        schema = {"$ref": f"#/components/schemas/Live{name.capitalize()}"}
        document.validate(json.loads(data), schema)


# What is another's to describe, or different for each.
OPEN = {"AuditEntry.detail", "DiaryItem.value", "SyncOperation.fields"}
ANY_VALUE = {"$ref": "#/components/schemas/AnyValue"}


def test_every_other_object_says_what_it_holds(document):
    def untyped(schema, path):
        if isinstance(schema, dict):
            kinds = schema.get("type", ())
            is_object = "object" in ([kinds] if isinstance(kinds, str) else kinds)
            is_open = schema.get("additionalProperties") in (None, ANY_VALUE)
            if is_object and is_open and "properties" not in schema:
                yield path
            for name, held in schema.get("properties", {}).items():
                yield from untyped(held, f"{path}.{name}")
            for key in ("items", "additionalProperties"):
                yield from untyped(schema.get(key), path)

    schemas = document.api["components"]["schemas"]
    assert {path for name, schema in schemas.items() for path in untyped(schema, name)} == OPEN


def test_every_json_answer_has_an_example(operations):
    for (method, path), operation in operations.items():
        for status, response in operation["responses"].items():
            media = response.get("content", {}).get("application/json")
            if media is not None and path != "/v1/openapi.json":
                assert media.keys() & {"example", "examples"}, f"{method} {path} {status}"


def test_every_domain_error_is_in_the_list_of_problems():
    kinds = errors.DomainError.__subclasses__()
    assert errors.NotFound in kinds
    for kind in kinds:
        assert PROBLEMS[kind.code][0] == kind.status


def test_the_root_says_what_this_is_and_where_its_pages_are(ready_app):
    client = ready_app.test_client()
    pages = client.get("/").json["pages"]
    page = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert set(re.findall(r'<a href="([^"]+)"', page.text)) == set(pages.values())
    for path in pages.values():
        assert client.get(path).status_code == 200


def test_the_document_is_not_sent_again(client):
    etag = client.get("/v1/openapi.json").headers["ETag"]
    again = client.get("/v1/openapi.json", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_every_schema_of_the_document_is_used(client):
    document = client.get("/v1/openapi.json").json
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert set(document["components"]["schemas"]) == used


def test_patterns_hold_from_end_to_end_in_every_language(client):
    """JSON Schema's patterns are searched for; an app's own check would let more through."""
    document = client.get("/v1/openapi.json").text
    patterns = re.findall(r'"pattern":\s*("(?:[^"\\]|\\.)*")', document)
    assert patterns
    for pattern in map(json.loads, patterns):
        assert re.match(r"\^.*\$", pattern), pattern


def test_no_other_origin_is_allowed(app):
    asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    preflight = app.test_client().options("/v1/account", headers=asked)
    assert (preflight.status_code, preflight.data) == (200, b"")
    assert preflight.allow == {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}
    read = app.test_client().get("/v1/openapi.json", headers=asked)
    for answer in (preflight, read):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_an_answer_without_a_body_has_no_type(client, person):
    gone = client.delete("/v1/consents/insights", headers=person.headers)
    assert (gone.status_code, gone.headers.get("Content-Type")) == (204, None)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/v1/openapi.json", "/v1/account", "/v1/nothing"]
)
def test_no_browser_runs_frames_or_keeps_an_answer(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] in {"no-store", "private, no-cache"}
