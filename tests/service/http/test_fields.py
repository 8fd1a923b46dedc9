"""What is not understood in full is refused, with a problem that says where."""

import pytest

REGISTRATION = {"email": "ada@example.org", "password": "correct horse battery"}


def kind(response):
    return response.status_code, response.json["type"].removeprefix("urn:cymba:problem:")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "invalid-json")),
        (b"{", (400, "invalid-json")),
        (b'{"email": NaN}', (400, "invalid-json")),
        (b'{"email": "\\ud800"}', (400, "invalid-json")),
        (b"\xff\xfe", (400, "invalid-json")),
        (b"[" * 10_000, (400, "invalid-json")),
        (b"[" * 1_000 + b"]" * 1_000, (400, "invalid-json")),
        (b'{"email":' + b'{"a":' * 1_000 + b"0" + b"}" * 1_001, (400, "invalid-json")),
        (b'{"email": "a@example.org", "email": "b@example.org"}', (400, "invalid-json")),
        (b'{"email": [{"a": 1, "\\u0061": 2}]}', (400, "invalid-json")),
        (b"[]", (422, "validation")),
        (b"null", (422, "validation")),
        (b'"text"', (422, "validation")),
        (b"{}", (422, "validation")),
        (b'{"email": {}, "password": []}', (422, "validation")),
        (b"[" + b"1," * 50_000 + b"1]", (413, "too-large")),
    ],
)
def test_bodies(client, body, expected):
    response = client.post("/v1/accounts", data=body, content_type="application/json")
    assert kind(response) == expected


def test_another_media_type_is_refused(client):
    response = client.post("/v1/accounts", data="email=ada", content_type="text/plain")
    assert kind(response) == (415, "unsupported-media-type")
    form = client.post("/v1/accounts", data=REGISTRATION)
    assert kind(form) == (415, "unsupported-media-type")


def test_every_wrong_field_is_named_at_once(client):
    body = {"email": "x", "password": 7, "colour/of~it": "red"}
    response = client.post("/v1/accounts", json=body)
    pointers = {error["pointer"] for error in response.json["errors"]}
    assert pointers == {"/email", "/password", "/colour~1of~0it"}


@pytest.mark.parametrize("path", ["/v1/account", "/v1/devices", "/healthz", "/v1/openapi.json"])
def test_an_unknown_query_parameter_is_refused_everywhere(client, person, path):
    response = client.get(f"{path}?colour=red", headers=person.headers)
    assert kind(response) == (422, "validation")
    assert response.json["errors"] == [{"parameter": "colour", "detail": "Unknown field."}]


def test_who_is_not_signed_in_learns_no_more(client):
    assert client.get("/v1/account?colour=red").status_code == 401
    assert client.patch("/v1/account", data=b"{").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/v1/accounts", 405),
        ("PUT", "/v1/account", 405),
        ("GET", "/v1/devices/short", 404),
        ("GET", "/v1/devices/with%00nul%00in", 404),
        ("GET", "/v1/devices/", 404),
        ("GET", "/v1//devices", 404),
        ("BREW", "/v1/account", 405),
    ],
)
def test_errors_of_routing_are_problems_too(client, method, path, status):
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    if status == 405:
        assert response.headers["Allow"]


def test_a_request_id_is_taken_up_or_made(client):
    given = {"X-Request-Id": "phone-0123456789"}
    assert client.get("/nothing", headers=given).json["request_id"] == "phone-0123456789"
    odd = {"X-Request-Id": "with space and <markup>"}
    assert "markup" not in client.get("/nothing", headers=odd).json["request_id"]
