"""If-Match and If-None-Match (RFC 9110, section 13), each on what is there and on what is not."""

from uuid import uuid4

import pytest

ENTRY = {"felt_at": "2026-03-01T09:00:00.000000Z", "time_zone": "UTC", "items": {"pain_now": 4}}
REMINDER = {
    "title": "Morning", "local_times": ["08:00"], "weekdays": [1], "items": ["pain_now"],
    "enabled": True,
}  # fmt: skip
MADE_BY_PUT = [
    pytest.param("/v1/diary", ENTRY, {"items": {"pain_now": 7}}, id="entry"),
    pytest.param("/v1/reminders", REMINDER, {"title": "Evening"}, id="reminder"),
]


@pytest.mark.parametrize(("folder", "content", "change"), MADE_BY_PUT)
@pytest.mark.parametrize(
    ("header", "value", "absent", "present"),
    [
        (None, None, 201, 428),
        ("If-Match", "current", 412, 200),
        ("If-Match", "*", 412, 200),
        ("If-Match", '"7.x"', 412, 412),
        ("If-Match", '"nonsense"', 412, 412),
        ("If-None-Match", "*", 201, 412),
        ("If-None-Match", "current", 201, 412),
        ("If-None-Match", '"7.x"', 201, 428),
    ],
)
def test_a_write_goes_by_what_is_there(
    client, person, folder, content, change, header, value, absent, present
):
    path = f"{folder}/{uuid4()}"
    there = client.put(path, json=content, headers=person.headers)
    assert there.status_code == 201
    current = there.headers["ETag"]

    def put(path: str, body: dict) -> int:
        given = {} if header is None else {header: current if value == "current" else value}
        return client.put(path, json=body, headers=person.headers | given).status_code

    assert put(f"{folder}/{uuid4()}", content) == absent
    assert put(path, content | change) == present


@pytest.mark.parametrize(("folder", "content", "change"), MADE_BY_PUT)
def test_of_two_headers_each_must_hold(client, person, folder, content, change):
    path = f"{folder}/{uuid4()}"
    tag = client.put(path, json=content, headers=person.headers).headers["ETag"]
    both = {"If-Match": tag, "If-None-Match": "*"}
    refused = client.put(path, json=content | change, headers=person.headers | both)
    assert refused.status_code == 412


def test_what_could_not_be_done_anyway_is_told_as_that(client, person):
    """A precondition decides only what would else succeed (section 13.2.1)."""
    for given in ({"If-Match": '"1.x"'}, {"If-None-Match": "*"}):
        absent = client.delete(f"/v1/diary/{uuid4()}", headers=person.headers | given)
        assert absent.status_code == 404


@pytest.mark.parametrize("path", ["/v1/account", "/v1/diary", "/v1/devices", "/v1/diary/items"])
def test_a_read_of_another_version_than_was_asked_for_is_412(client, person, path):
    tag = client.get(path, headers=person.headers).headers["ETag"]
    same = client.get(path, headers=person.headers | {"If-Match": tag})
    other = client.get(path, headers=person.headers | {"If-Match": '"another"'})
    known = client.get(path, headers=person.headers | {"If-None-Match": tag})
    dated = {"If-Modified-Since": "Sun, 01 Mar 2099 00:00:00 GMT"}
    passed_over = client.get(path, headers=person.headers | dated)
    assert [a.status_code for a in (same, other, known, passed_over)] == [200, 412, 304, 200]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "zstd", "gzip, identity"])
def test_a_compressed_body_is_415_wherever_a_body_is_taken(client, person, encoding):
    packed = person.headers | {"Content-Encoding": encoding}
    requests = (
        client.put(f"/v1/diary/{uuid4()}", json=ENTRY, headers=packed),
        client.post("/v1/auth/token", json={}, headers=packed),
        client.post("/v1/sync", json={"operations": []}, headers=packed),
        client.patch("/v1/account", json={"name": "Ada"}, headers=packed | {"If-Match": "*"}),
    )
    assert [one.status_code for one in requests] == [415] * 4
    plain = person.headers | {"Content-Encoding": "identity"}
    assert client.put(f"/v1/diary/{uuid4()}", json=ENTRY, headers=plain).status_code == 201
