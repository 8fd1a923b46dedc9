"""What the API tells an app of its own version, of what will go, and of what is left of quotas."""

import re
from datetime import date
from uuid import uuid4

import msgspec
import pytest

from cymba.accounts import quotas
from cymba.accounts.rate_limiter import Bucket
from cymba.settings import SettingsError, load
from service import create_app
from service.http import deprecations
from service.http.deprecations import Deprecated
from tests.service.conftest import app_with

ENTRY = {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "note": "x" * 1_000}
POLICY = '"written";q=10000;w=20000;qu="content-bytes"'


def test_a_server_says_which_one_it_is(client, settings, engine):
    told = client.get("/v1/version").json
    assert told["least_app_version"] is None
    set_up = msgspec.structs.replace(settings, least_app_version="2.3.0", build="3f2a9c1")
    other = app_with(set_up, engine).test_client().get("/v1/version")
    assert other.json == told | {"least_app_version": "2.3.0", "build": "3f2a9c1"}
    document = client.get("/v1/openapi.json")
    assert document.headers["ETag"] == f'"{told["document"]}"'


@pytest.mark.parametrize("version", ["2", "2.3", "v2.3.0", "2.3.0-beta", "newest"])
def test_a_least_version_that_no_app_can_compare_stops_the_start(version):
    with pytest.raises(SettingsError, match="CYMBA_LEAST_APP_VERSION"):
        load({"CYMBA_LEAST_APP_VERSION": version})


def test_what_is_deprecated_says_so_in_the_document_and_in_each_answer(
    settings, engine, monkeypatch
):
    entry = Deprecated(date(2027, 1, 1), date(2028, 1, 1), "/v1/version")
    monkeypatch.setitem(deprecations.OPERATIONS, "get_account", entry)
    client = create_app(settings, engine).test_client()
    item = client.get("/v1/openapi.json").json["paths"]["/v1/account"]
    assert item["get"]["deprecated"] is True
    assert "2028-01-01" in item["get"]["description"]
    assert "deprecated" not in item["patch"]
    refused = client.get("/v1/account")  # without a token: it will go for everybody
    assert refused.status_code == 401
    assert refused.headers["Deprecation"] == "@1798761600"
    assert refused.headers["Sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    assert refused.headers["Link"] == '</v1/version>; rel="successor-version"'
    assert "Deprecation" not in client.patch("/v1/account").headers
    assert "Deprecation" not in client.get("/v1/nothing").headers


def test_nothing_goes_sooner_than_the_policy_says():
    with pytest.raises(ValueError, match="365 days"):
        Deprecated(date(2027, 1, 1), date(2027, 12, 31), "/v1/version")


def test_every_entry_of_the_table_names_operations_that_there_are(document):
    operations = {
        operation["operationId"]
        for item in document.api["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    assert deprecations.OPERATIONS.keys() <= operations
    paths = document.api["paths"].keys()
    assert {entry.instead for entry in deprecations.OPERATIONS.values()} <= paths


def test_a_change_says_what_is_left_and_a_refusal_how_long_to_wait(client, person, monkeypatch):
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(10_000, 2.0))

    def put():
        return client.put(f"/v1/diary/{uuid4()}", json=ENTRY, headers=person.headers)

    first, second = put(), put()
    assert first.headers["RateLimit-Policy"] == second.headers["RateLimit-Policy"] == POLICY
    (left, whole_in_s), (then, _) = (
        map(int, re.fullmatch(r'"written";r=(\d+);t=(\d+)', one.headers["RateLimit"]).groups())
        for one in (first, second)
    )
    assert then < left < 10_000
    assert whole_in_s >= (10_000 - left) * 2 - 2
    while (refused := put()).status_code != 429:
        assert refused.status_code == 201
    assert refused.headers["RateLimit-Policy"] == POLICY
    assert refused.headers["RateLimit"].startswith('"written";r=0;t=')
    assert int(refused.headers["Retry-After"]) > 0
    read = client.get("/v1/account", headers=person.headers)
    assert not {"RateLimit", "RateLimit-Policy"} & {name for name, _ in read.headers}
