"""The page that shows the API's document: all of it comes from here, and nothing of it leaves.

`tests/app/test_reference.py` looks at it in a browser.
"""

import gzip
import re

import pytest

from service.resources import docs
from tests.docs.test_pages import TOP

PARTS = ["/docs/docs.js", "/docs/docs.css", "/docs/scalar.js"]


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """What `make reference` builds; the tests do not wait for it."""
    file = tmp_path / "scalar.js.gz"
    file.write_bytes(gzip.compress(b"window.Scalar = {};" * 100))
    monkeypatch.setattr(docs, "REFERENCE", file)
    return file


@pytest.mark.usefixtures("reference")
def test_the_page_is_made_of_parts_from_here(client):
    page = client.get("/docs")
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', page.text)) - {"data:,"}
    assert named == {*PARTS, "/v1/openapi.json"}
    for part in PARTS:
        answer = client.get(part)
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"]
    ours = [page.text, client.get("/docs/docs.js").text, client.get("/docs/docs.css").text]
    assert not any(re.search(r"https?://", text) for text in ours)


def test_a_browser_lets_nothing_in_or_out(client):
    policy = dict(
        part.split(" ", 1)
        for part in client.get("/docs").headers["Content-Security-Policy"].split("; ")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("script-src") == "'self'"  # and so neither inline nor `eval`
    assert policy.pop("style-src") == "'self' 'unsafe-inline'"
    for allowed in policy.values():
        assert set(allowed.split()) <= {"'self'", "'none'", "data:", "blob:"}
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=", client.get("/docs").text)


def test_what_the_reference_would_tell_others_is_off(client):
    script = client.get("/docs/docs.js").text
    assert "telemetry: false" in script
    assert "withDefaultFonts: false" in script
    assert "agent: { disabled: true }" in script
    assert "mcp: { disabled: true }" in script
    assert "proxyUrl" not in script


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip, br", "gzip"), ("identity", None)])
def test_the_reference_is_sent_as_it_was_packed(client, reference, accepted, encoding):
    answer = client.get("/docs/scalar.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    packed = reference.read_bytes()
    assert answer.data == (packed if encoding else gzip.decompress(packed))
    headers = {"If-None-Match": answer.headers["ETag"], "Accept-Encoding": accepted}
    assert client.get("/docs/scalar.js", headers=headers).status_code == 304


def test_without_the_reference_the_page_says_what_is_missing(client, monkeypatch, tmp_path):
    monkeypatch.setattr(docs, "REFERENCE", tmp_path / "not built")
    assert client.get("/docs/scalar.js").status_code == 404
    page = client.get("/docs")
    assert page.status_code == 200
    assert "make reference" in page.text


def test_what_make_builds_is_in_the_package_and_in_the_image():
    built = docs.REFERENCE.relative_to(TOP).as_posix()
    assert f"REFERENCE_BUILT := {built}\n" in (TOP / "Makefile").read_text()
    assert '"*.js.gz"' in (TOP / "pyproject.toml").read_text()
    assert "node clients/reference/bundle.js" in (TOP / "Dockerfile").read_text()
    assert "http" not in (TOP / "clients/reference/package-lock.json").read_text()
