"""Answers are packed in what the client unpacks, where that is worth it and betrays nothing."""

import gzip

import pyarrow as pa
import pytest

from service.http import compression
from tests.service.conftest import sign_up

PATH = "/v1/diary/items"  # a long answer
UNPACK = {
    "gzip": gzip.decompress,
    "zstd": lambda body: pa.input_stream(pa.py_buffer(body), compression="zstd").read(),
    None: bytes,
}


def ask(client, person, accepted, path=PATH, **headers):
    given = person.headers | {"Accept-Encoding": accepted} | headers
    return client.application.test_client().get(path, headers=given)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0", None),
        ("br", None),
        ("identity", None),
        ("identity, gzip;q=0.2", None),
        ("", None),
        ("zstd;q=nonsense, ;;", None),
    ],
)
def test_in_what_the_client_says(client, person, accepted, encoding):
    answer = ask(client, person, accepted)
    assert answer.headers.get("Content-Encoding") == encoding
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert "Accept-Encoding" in answer.vary
    assert UNPACK[encoding](answer.data) == client.get(PATH, headers=person.headers).data


def test_a_packed_answer_is_asked_for_again_by_its_tag(client, person):
    plain, packed = ask(client, person, "identity"), ask(client, person, "zstd")
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    for tag in (plain.headers["ETag"], packed.headers["ETag"]):
        again = ask(client, person, "zstd", **{"If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert "Content-Encoding" not in again.headers
    head = client.application.test_client().head(
        PATH, headers=person.headers | {"Accept-Encoding": "zstd"}
    )
    for name in ("Content-Length", "Content-Encoding", "ETag", "Vary"):
        assert head.headers[name] == packed.headers[name]


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_telemetry_is_packed_in_each_of_its_forms(client, person, wear, form):
    worn = wear(person)
    for _ in range(20):
        worn.samples(60, amplitude_ua=list(range(60)))
    path = f"/v1/sessions/{worn.end().sum_up().id}/telemetry?format={form}"
    for name, unpack in UNPACK.items():
        answer = ask(client, person, name or "identity", path)
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert unpack(answer.data) == client.get(path, headers=person.headers).data
        assert answer.vary.as_set() >= {"accept", "accept-encoding"}
        again = ask(
            client, person, name or "identity", path, **{"If-None-Match": answer.headers["ETag"]}
        )
        again.close()  # as a server does: it gives the place for reading back
        assert (again.status_code, again.data) == (304, b"")
        assert "Content-Encoding" not in again.headers  # of nothing


def test_what_holds_a_secret_goes_as_it_is(client, monkeypatch):
    monkeypatch.setattr(compression, "LEAST_BYTES", 1)
    sign_up(client, {"email": "a@example.org", "password": "a long password"})
    signed_in = client.application.test_client().post(
        "/v1/auth/token",
        json={"email": "a@example.org", "password": "a long password"},
        headers={"Accept-Encoding": "gzip, zstd"},
    )
    assert signed_in.status_code == 200
    assert "Content-Encoding" not in signed_in.headers


def test_a_live_view_is_not_packed(client, person, wear, monkeypatch):
    monkeypatch.setattr(compression, "LEAST_BYTES", 1)
    path = f"/v1/sessions/{wear(person).samples().end().sum_up().id}/live"
    answer = ask(client, person, "gzip, zstd", path)
    assert answer.mimetype == "text/event-stream"
    assert "Content-Encoding" not in answer.headers
    assert answer.data.startswith((b"event", b"retry", b":"))
