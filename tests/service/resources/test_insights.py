"""What the API says about links, side effects and symptoms, and how the pictures look."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork
from cymba.diary.tables import DiaryEntry
from cymba.rights import consents
from simulator.people import World
from tests.insights.people import agree, live_in_database, refresh

PAIR = "/v1/insights/correlations/charge/pain_now"
PLOTS = (PAIR, "/v1/insights/side-effects/tingling", "/v1/insights/response/pain_now")


@pytest.fixture
def settle(engine):
    """Gives a person months that ended yesterday, with their findings."""

    def live(person, days=150, effect=-1.0, seed=3):
        with UnitOfWork(engine) as session:
            agree(session, person.id, "insights")
            first_day = (datetime.now(UTC) - timedelta(days=days)).date()
            world = World(days=days, effect=effect)
            live_in_database(session, person.id, world, seed=seed, first_day=first_day)
            session.commit()
            refresh(session, person.id)

    return live


@pytest.fixture
def read(client, person):
    def get(path, **headers):
        return client.get(path, headers={**person.headers, **headers})

    return get


def test_without_consent_nothing_is_told(client, person, document):
    for path in document.api["paths"]:
        if path.startswith("/v1/insights"):
            where = path.format(exposure="charge", outcome="pain_now", item="cough")
            refused = client.get(where, headers=person.headers)
            assert refused.status_code == 403, path
            assert refused.json["type"] == "urn:cymba:problem:consent-required"


def test_before_the_first_round_there_is_an_answer(read, person, engine):
    with UnitOfWork(engine) as session, session.begin():
        agree(session, person.id, "insights")
    told = read("/v1/insights/correlations").json
    assert (told["primary"], told["exploratory"], told["computed_at"]) == ([], [], None)
    assert read("/v1/insights/side-effects").json == {"items": []}
    assert read("/v1/insights/response").json == {"items": []}


def test_primaries_come_first_and_the_clearest_of_the_rest(read, person, settle):
    settle(person)
    told = read("/v1/insights/correlations").json
    assert {one["outcome"] for one in told["primary"]} == {
        "pain_now", "mood", "sleep_quality", "fatigue",
    }  # fmt: skip
    assert {(one["exposure"], one["lag"]) for one in told["primary"]} == {("charge", 1)}
    pain = next(one for one in told["primary"] if one["outcome"] == "pain_now")
    assert pain["grade"] in {"moderate", "strong"}
    assert pain["low"] < pain["effect"] < pain["high"] < 0
    assert pain["sentence"].endswith(told["disclaimer"])
    order = ["collecting", "not_enough", "no_clear_link", "early_signal", "moderate", "strong"]
    grades = [order.index(one["grade"]) for one in told["exploratory"]]
    assert grades == sorted(grades, reverse=True)
    assert len(grades) > 20


def test_a_pair_shows_the_very_rows_that_its_estimate_rests_on(read, person, settle):
    settle(person)
    pair = read(PAIR).json
    finding, points = pair["finding"], pair["points"]
    assert pair["is_current"]
    assert len(points) == finding["n"]
    squares = sum(point["partial_exposure"] ** 2 for point in points)
    slope = sum(p["partial_exposure"] * p["partial_outcome"] for p in points) / squares
    assert slope * finding["contrast"] == pytest.approx(finding["effect"], abs=1e-3)
    assert [one["lag"] for one in pair["lags"]] == [0, 1, 2, 3]
    assert [look["milestone"] for look in pair["looks"]][-1] == finding["n"]
    first = points[0]
    assert datetime.fromisoformat(first["outcome_day"]) - datetime.fromisoformat(
        first["exposure_day"]
    ) == timedelta(days=1)
    assert abs(pair["residuals"]["correlation"]) < 0.5
    assert read(f"{PAIR}?lag=0").json["finding"]["lag"] == 0


def test_days_that_changed_since_are_told_and_show_no_old_fit(read, person, settle, engine):
    settle(person)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(
            update(DiaryEntry)
            .where(DiaryEntry.account_id == person.id, DiaryEntry.items.has_key("mood"))
            .values(items={"pain_now": 0})
        )
    pair = read(PAIR).json
    assert (pair["is_current"], pair["points"], pair["residuals"]) == (False, [], None)


def test_fourteen_days_are_told_what_is_missing(read, person, settle):
    settle(person, days=14)
    told = read("/v1/insights/correlations").json
    assert {one["grade"] for one in told["primary"]} == {"collecting"}
    assert told["exploratory"] == []
    pain = next(one for one in told["primary"] if one["outcome"] == "pain_now")
    assert "of 28 full days" in pain["sentence"]
    assert pain["more_days"]["low"] >= 28 - pain["pairs_now"]


@pytest.mark.parametrize(
    "path", ["charge/nothing", "nothing/pain_now", "charge/hoarseness", "charge%00/pain_now"]
)
def test_a_pair_without_a_finding_is_not_found(read, person, settle, path):
    settle(person, days=14)
    assert read(f"/v1/insights/correlations/{path}").status_code == 404
    assert read(f"/v1/insights/correlations/{path}/plot.svg").status_code == 404


def test_side_effects_and_responses_are_told(read, person, settle):
    settle(person, seed=5)
    (effect,) = read("/v1/insights/side-effects").json["items"]
    assert (effect["item"], effect["course"]) == ("tingling", "fading")
    assert effect["milestone"] < effect["answers"] < effect["sessions"]
    assert effect["p"] <= 0.02
    assert effect["interval"] == "bounded"
    assert effect["low"] < effect["slope"] < effect["high"] < 0
    compared = {one["outcome"]: one for one in read("/v1/insights/response").json["items"]}
    assert compared.keys() == {"pain_now", "fatigue", "mood", "sleep_quality"}
    mood = compared["mood"]  # of which more is better: no share of it, but points
    assert mood["change_ratio"] is None
    assert mood["points_low"] < mood["change_points"] < mood["points_high"]
    assert compared["pain_now"]["baseline_kind"] == "first_weeks"
    assert compared["pain_now"]["current"]["rated_days"] > 14


@pytest.mark.parametrize("path", PLOTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_picture_says_in_words_what_it_shows(read, person, settle, path, theme):
    settle(person, days=60)
    svg = read(f"{path}/plot.svg?theme={theme}")
    root = ET.fromstring(svg.data)  # noqa: S314 - our own
    assert root.get("role") == "img"
    named = {child.get("id"): child.text for child in root if child.get("id")}
    assert set(root.get("aria-labelledby").split()) <= named.keys()
    listed = read(path).json if path == PAIR else None
    items = read(path.rpartition("/")[0]).json["items"] if listed is None else [listed]
    assert named["desc"] in [item["alt"] for item in items]
    png = read(f"{path}/plot.png?theme={theme}")
    assert png.data.startswith(b"\x89PNG")
    assert int.from_bytes(png.data[16:20]) == 780


@pytest.mark.parametrize("path", PLOTS)
def test_a_picture_that_shows_the_same_is_not_drawn_again(read, person, settle, path, monkeypatch):
    settle(person, days=60)
    first = read(f"{path}/plot.svg")
    monkeypatch.setattr("cymba.insights.pictures.canvas.Page.__init__", None)  # cannot draw now
    again = read(f"{path}/plot.svg", **{"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    monkeypatch.undo()
    dark = read(f"{path}/plot.svg?theme=dark", **{"If-None-Match": first.headers["ETag"]})
    assert dark.status_code == 200
    assert first.data == read(f"{path}/plot.svg").data


def test_a_german_reads_german(read, person, settle, engine):
    settle(person, days=60)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).where(Account.id == person.id).values(locale="de-DE"))
    told = read("/v1/insights/correlations").json
    assert told["disclaimer"].startswith("Das zeigt nicht")
    assert "Ihre" not in told["primary"][0]["outcome_title"]
    assert " Punkte" in read(PAIR).json["alt"]


def test_a_new_language_brings_every_finding_again_as_it_reads_now(read, client, person, settle):
    settle(person, days=14)
    first = read("/v1/sync").json
    headers = {**person.headers, "If-Match": "*"}
    assert client.patch("/v1/account", json={"locale": "de"}, headers=headers).status_code == 200
    again = read(f"/v1/sync?cursor={first['next_cursor']}").json["findings"]
    by_id = {one["id"]: one for one in again}
    assert by_id.keys() == {one["id"] for one in first["findings"]}
    for before in first["findings"]:
        now = by_id[before["id"]]
        assert now["sentence"] != before["sentence"]
        assert now["version"] == before["version"]
        assert (now["grade"], now["effect"]) == (before["grade"], before["effect"])


def test_the_feed_brings_findings_and_their_end(read, person, settle, engine):
    settle(person, days=14)
    feed = read("/v1/sync").json
    listed = read("/v1/insights/correlations").json["primary"]
    assert sorted(feed["findings"], key=lambda one: one["id"]) == sorted(
        listed, key=lambda one: one["id"]
    )

    with UnitOfWork(engine) as session, session.begin():
        consents.withdraw(session, person.id, "insights", now=datetime.now(UTC))
    gone = read(f"/v1/sync?cursor={feed['next_cursor']}").json
    assert gone["findings"] == []
    assert {(stone["kind"], stone["id"]) for stone in gone["tombstones"]} == {
        ("consent", "insights"),
        *(("finding", one["id"]) for one in listed),
    }
