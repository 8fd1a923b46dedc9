"""A symptom beside the sessions, as pictures: for its person alone, and with words that say it."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

PICTURES = ("timeline", "calendar", "around-sessions")
DAYS = {"from": "2026-03-01", "to": "2026-03-31"}


@pytest.fixture
def read(client, person):
    def get(path, headers=None, **query):
        query = DAYS | query
        return client.get(
            f"/v1/history/{path}", query_string=query, headers=person.headers | (headers or {})
        )

    return get


@pytest.fixture
def lived(client, person, wear, hold):
    """A session on each of three days, with ratings an hour before and after, and a day without."""
    device_id = hold(person)
    for day in (2, 3, 5):
        at = datetime(2026, 3, day, 12, tzinfo=UTC)
        wear(person, device_id=device_id, at=at).samples(60).end().sum_up()
    for day in (2, 3, 4, 5):
        for hour, pain in ((11, 6), (14, 4)):
            body = {
                "felt_at": f"2026-03-0{day}T{hour}:00:00Z",
                "time_zone": "UTC",
                "items": {"pain_now": pain, "pain_average": pain},
            }
            put = client.put(f"/v1/diary/{uuid4()}", json=body, headers=person.headers)
            assert put.status_code == 201, put.json


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.usefixtures("lived")
def test_each_picture_says_in_words_what_it_shows(read, picture):
    told = read(f"pain_now/{picture}").json
    drawn = read(f"pain_now/{picture}/plot.svg", theme="dark")
    root = ET.fromstring(drawn.data)  # noqa: S314 - our own
    named = {child.get("id"): child.text for child in root if child.get("id")}
    assert (named["title"], named["desc"]) == (told["title"], told["alt"])
    png = read(f"pain_now/{picture}/plot.png", width="320", text_percent="200")
    assert int.from_bytes(png.data[16:20]) == 640


@pytest.mark.usefixtures("lived")
def test_what_is_told_is_what_was_done_and_felt(read):
    days = read("pain_now/timeline").json["alt"]
    assert days.startswith("Days shown: 31. With a session: 3.")
    assert "With a rating: 4. In the mean pain now was 5.0, from 5 to 5." in days
    assert read("mood/calendar").json["alt"].endswith("No rating was made on these days.")
    around = read("pain_now/around-sessions").json["alt"]
    assert "With a session: not yet before, not yet after (days: 3)." in around
    assert "at your usual hours: not yet before, not yet after (days: 1)." in around
    assert around.endswith("This does not show that stimulation caused it.")
    assert "(days: 2)" in read("pain_now/around-sessions", to="2026-03-04").json["alt"]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.usefixtures("lived")
def test_a_picture_that_shows_the_same_is_not_drawn_again(read, picture, monkeypatch):
    first = read(f"pain_now/{picture}/plot.svg")
    monkeypatch.setattr("cymba.insights.pictures.canvas.Page.__init__", None)  # cannot draw now
    known = {"If-None-Match": first.headers["ETag"]}
    assert read(f"pain_now/{picture}/plot.svg", known).status_code == 304
    monkeypatch.undo()
    assert read(f"pain_now/{picture}/plot.svg", known, to="2026-03-04").status_code == 200


@pytest.mark.parametrize("scope", ["sessions", "insights", "diary"])
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.usefixtures("lived")
def test_no_share_shows_the_diary_beside_the_sessions(client, person, scope, picture):
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    wanted = {"label": "Dr. Blue", "scopes": [scope], "expires_at": until}
    token = client.post("/v1/shares", json=wanted, headers=person.headers).json["token"]
    for path in ("", "/plot.svg", "/plot.png"):
        refused = client.get(
            f"/v1/history/pain_now/{picture}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        assert refused.status_code in {401, 403}, refused.data


@pytest.mark.parametrize(
    "path",
    ["pain_now/heatmap", "cough/timeline", "nothing/calendar", "pain_average/around-sessions"],
)
@pytest.mark.usefixtures("lived")
def test_what_there_is_no_picture_of_is_not_found(read, path):
    assert read(path).status_code == 404
    assert read(f"{path}/plot.svg").status_code == 404


def test_more_than_a_year_is_refused(read):
    refused = read("pain_now/calendar", **{"from": "2025-01-01"})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["parameter"] == "from"
