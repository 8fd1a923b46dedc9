"""Which pages of other origins may ask the API, and what they may read of an answer."""

import msgspec
import pytest

from cymba.settings import SettingsError, load
from service.http import cors
from tests.service.conftest import app_with

PAGE = "https://app.example.org"
IN_A_PHONE = "capacitor://localhost"


@pytest.fixture
def client(settings, engine):
    origins = msgspec.structs.replace(settings, cors_origins=f"{PAGE} {IN_A_PHONE}")
    return app_with(origins, engine).test_client()


def preflight(client, origin: str):
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    return client.options("/v1/account", headers=asked)


@pytest.mark.parametrize("origin", [PAGE, IN_A_PHONE])
def test_a_page_that_is_set_may_ask_and_read(client, origin):
    allowed = preflight(client, origin)
    assert allowed.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == origin
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    for answer in (
        client.get("/v1/version", headers={"Origin": origin}),
        client.get("/v1/account", headers={"Origin": origin}),  # 401
        client.get("/v1/nothing", headers={"Origin": origin}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert {"ETag", "Retry-After"} <= set(
            answer.headers["Access-Control-Expose-Headers"].split(", ")
        )
        assert "Origin" in answer.vary
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "",
        "http://app.example.org",
        "https://app.example.org:444",
        "https://app.example.org.evil.example",
        "https://evil-app.example.org",
        "https://APP.example.org",
        "https://app.example.org/",
        f"{PAGE} {IN_A_PHONE}",
        "https://app.example.orgcapacitor://localhost",
    ],
)
def test_no_other_page_may(client, origin):
    read = client.get("/v1/version", headers={"Origin": origin})
    for answer in (preflight(client, origin), read):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in answer.vary  # or a cache would give the page what it keeps for another


def test_a_page_may_send_every_header_that_the_document_names(document):
    named = {
        parameter["name"]
        for item in document.api["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }
    assert named <= set(cors.ASKED.split(", "))


def test_a_page_may_read_every_header_that_the_document_names(document):
    named = {
        name
        for item in document.api["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
        for answer in operation["responses"].values()
        for name in answer.get("headers", ())
    }
    assert named <= set(cors.SHOWN.split(", "))


@pytest.mark.parametrize(
    "origins", ["*", "null", "app.example.org", "https://*.example.org", f"{PAGE}/", f"{PAGE},x"]
)
def test_a_setting_that_no_browser_sends_stops_the_start(origins):
    with pytest.raises(SettingsError, match="CYMBA_CORS_ORIGINS"):
        load({"CYMBA_CORS_ORIGINS": origins})
