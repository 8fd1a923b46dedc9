"""The companion's files: what is sent of them, under which rules, and nothing else of the disk."""

import pytest
from flask.testing import FlaskClient

SCRIPT = b"console.log('a script of the app')"


@pytest.fixture
def browser(app, tmp_path) -> FlaskClient:
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<title>Cymba</title>")
    (built / "assets" / "main-Ab3_d-9z.js").write_bytes(SCRIPT)
    (built / "sw.js").write_bytes(SCRIPT)
    (built / "notes.txt").write_text("not a file of the app")
    (tmp_path / "secret.js").write_text("not in the folder")
    app.config = app.config | {"APP_FOLDER": built}
    return app.test_client()


@pytest.mark.parametrize("place", ["/app/", "/app/diary/new", "/app/sign-in?from=home"])
def test_every_place_within_the_app_is_its_page(browser, place):
    page = browser.get(place)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert page.text == "<title>Cymba</title>"
    assert page.headers["Cache-Control"] == "private, no-cache"


def test_a_shares_link_leads_to_its_page_and_its_token_reaches_no_server(browser):
    answer = browser.get("/s")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/app/s")


def test_nothing_runs_in_it_that_does_not_come_from_here(browser):
    policy = browser.get("/app/").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_what_is_named_by_its_content_is_kept_for_good_and_all_else_is_asked_for(browser):
    kept = browser.get("/app/assets/main-Ab3_d-9z.js")
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    worker = browser.get("/app/sw.js")
    assert worker.headers["Cache-Control"] == "private, no-cache"
    again = browser.get("/app/sw.js", headers={"If-None-Match": worker.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["notes.txt", "../secret.js", "%2e%2e/secret.js", "assets/../../secret.js", "none.js"]
)
def test_no_other_file_can_be_asked_for(browser, path):
    assert browser.get(f"/app/{path}").status_code == 404


def test_without_a_build_it_says_how_to_make_one(app, tmp_path):
    app.config = app.config | {"APP_FOLDER": tmp_path}
    answer = app.test_client().get("/app/")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert "make app" in answer.json["detail"]
