"""Each answer speaks the language of its account; where there is none, of `Accept-Language`."""

import hashlib
from datetime import timedelta
from uuid import uuid4

import marshmallow as ma
import pytest
from sqlalchemy import select, update

from cymba.accounts import quotas
from cymba.accounts.rate_limiter import Bucket
from cymba.accounts.tables import Account, Consent, OutgoingMail
from cymba.database import UnitOfWork, utc_now
from cymba.devices.tables import Screening
from cymba.sync.feed import KINDS
from cymba.sync.language import SPOKEN
from cymba.voice import Voice
from service.http.field_texts import as_text
from service.shapes.feed import SyncPageSchema

FELT = {
    "felt_at": "2026-03-01T07:30:00.000000Z",
    "time_zone": "UTC",
    "items": {"chest_pain": {"severity": "mild"}},
}
CARE = "Benutzen Sie das Gerät nicht weiter"


@pytest.fixture
def speaks(engine):
    """Sets the language of an account behind the API's back."""

    def set_locale(person, locale):
        with UnitOfWork(engine) as session, session.begin():
            session.execute(update(Account).where(Account.id == person.id).values(locale=locale))

    return set_locale


@pytest.fixture
def change(client, person):
    """Changes the account's language as an app does."""

    def patch(locale):
        headers = {**person.headers, "If-Match": "*"}
        return client.patch("/v1/account", json={"locale": locale}, headers=headers)

    return patch


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.2, de-CH-u-hc-h23;q=0.4", "de"),
        ("fr-FR, de;q=0.1", "de"),
        ("de-XX", "de"),
        ("en, de;q=0.9", "en"),
        ("de;q=0", "en"),
        ("de;q=0, *", "en"),
        ("*", "en"),
        ("xx", "en"),
        ("", "en"),
        ("../../de, \x7f;q=1, ;;,,", "en"),
        ("de-" + "a" * 10_000, "en"),
        ("xx," * 3_000 + "de", "en"),
        ("de," * 3_000, "de"),
    ],
)
def test_before_an_account_the_header_decides(client, wanted, language):
    refused = client.get("/v1/account", headers={"Accept-Language": wanted})
    said = {"en": "Sign in first", "de": "Melden Sie sich zuerst an"}
    assert refused.status_code == 401
    assert refused.json["title"] == said[language]
    assert refused.json["type"] == "urn:cymba:problem:unauthenticated"
    assert refused.headers["Content-Language"] == language
    assert "Accept-Language" in refused.vary


def test_two_phones_of_one_account_read_the_same(client, person, speaks):
    speaks(person, "de-DE")
    phones = [
        client.get("/v1/consents", headers={**person.headers, "Accept-Language": wanted})
        for wanted in ("de", "en-GB")
    ]
    assert phones[0].data == phones[1].data
    assert {phone.headers["Content-Language"] for phone in phones} == {"de"}
    assert not any("Accept-Language" in phone.vary for phone in phones)
    refused = client.get("/v1/devices/device-0001", headers=person.headers)
    assert refused.json["detail"] == "Dieses Gerät gibt es nicht."


def test_a_tag_of_another_language_has_its_own_representation(client, person, change):
    """What a cache holds of the one is no answer in the other."""
    for path in ("/v1/consents", "/v1/screening", "/v1/diary/items", "/v1/models"):
        english = client.get(path, headers=person.headers)
        assert change("de").status_code == 200
        held = {**person.headers, "If-None-Match": english.headers["ETag"]}
        german = client.get(path, headers=held)
        assert german.status_code == 200
        assert german.headers["Content-Language"] == "de"
        assert german.headers["ETag"] != english.headers["ETag"]
        assert change("en").status_code == 200


def test_who_looks_by_a_share_reads_their_own_language(client, person, speaks):
    speaks(person, "de")
    client.put(f"/v1/diary/{uuid4()}", json=FELT, headers=person.headers)
    expires_at = (utc_now() + timedelta(days=7)).isoformat()
    wanted = {"label": "Dr. Weber", "scopes": ["diary"], "expires_at": expires_at}
    share = client.post("/v1/shares", json=wanted, headers=person.headers).json
    by_token = {"Authorization": f"Bearer {share['token']}"}

    def advice(headers):
        read = client.get("/v1/diary", headers=headers)
        return read.json["items"][0]["advice"][:4], "Accept-Language" in read.vary

    assert advice(by_token) == ("Benu", False)  # as the owner wrote it
    assert advice({**by_token, "Accept-Language": "en-GB"}) == ("Stop", True)
    assert advice({**by_token, "Accept-Language": "xx"}) == ("Benu", False)


def test_an_account_is_made_in_the_language_that_asked(client, mails):
    given = {"email": "ada@example.org", "password": "correct horse battery"}
    asked = client.post("/v1/accounts", json=given, headers={"Accept-Language": "de-AT, en;q=0.5"})
    assert asked.status_code == 202
    assert mails()[0].subject == "Bestätigen Sie diese Adresse"


def test_what_is_refused_before_the_account_is_read_speaks_its_language(client, person, speaks):
    speaks(person, "de-AT")
    path = f"/v1/diary/{uuid4()}"
    refused = client.put(path, json={"x": 1}, headers={**person.headers, "Accept-Language": "en"})
    assert refused.json["title"] == "Felder oder Parameter sind nicht so, wie sie sein müssen"
    assert refused.headers["Content-Language"] == "de"


@pytest.mark.parametrize("tag", ["en-US-u-hc-h12", "ar-EG-u-nu-arab", "de-DE-u-co-phonebk-x-cymba"])
def test_a_tag_with_extensions_is_taken_and_kept(client, person, change, tag):
    assert change(tag).json["locale"] == tag
    assert client.get("/v1/account", headers=person.headers).json["locale"] == tag


@pytest.mark.parametrize("tag", ["en_US", "", "1", "en-", "en--US", "de\n", "a" * 9, "en-" * 40])
def test_what_is_no_tag_is_refused(change, tag):
    refused = change(tag)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/locale")


def test_a_consent_is_to_the_text_that_was_read(client, person, change, engine):
    change("de-DE")
    listed = client.get("/v1/consents", headers=person.headers).json["purposes"]
    (insights,) = [one for one in listed if one["name"] == "insights"]
    assert insights["text"].startswith("Cymba vergleicht")
    assert insights["text_version"] == "1/de"
    assert hashlib.sha256(insights["text"].encode()).hexdigest() == insights["text_sha256"]
    agreed = {"text_version": insights["text_version"]}
    given = client.post("/v1/consents/insights", json=agreed, headers=person.headers).json
    assert (given["text_version"], given["text_sha256"]) == ("1/de", insights["text_sha256"])

    change("en")  # it stands, and is not asked for anew
    (again,) = [
        one
        for one in client.get("/v1/consents", headers=person.headers).json["purposes"]
        if one["name"] == "insights"
    ]
    assert again["text_version"] == "1/en"
    assert again["text_sha256"] != insights["text_sha256"]
    assert (again["is_given"], again["given"]) == (True, given)
    agreed = {"text_version": again["text_version"]}
    assert client.post("/v1/consents/insights", json=agreed, headers=person.headers).json == given
    with UnitOfWork(engine) as session:
        assert len(session.scalars(select(Consent)).all()) == 1


def test_a_consent_of_before_there_were_languages_still_stands(client, person, engine):
    with UnitOfWork(engine) as session, session.begin():
        columns = "id, account_id, purpose, text_version, text_sha256, given_at"
        session.connection().exec_driver_sql(
            f"INSERT INTO consent ({columns}) VALUES (%s, %s, 'insights', 1, %s, now())",  # noqa: S608
            (uuid4(), person.id, "0" * 64),
        )
    (insights, *_) = client.get("/v1/consents", headers=person.headers).json["purposes"]
    assert insights["given"]["text_version"] == "1/en"
    assert client.get("/v1/insights/correlations", headers=person.headers).status_code == 200


def test_the_safety_questions_are_answered_as_they_were_read(client, person, change, hold, engine):
    hold(person)
    change("de")
    read = client.get("/v1/screening", headers=person.headers)
    texts = {one["name"]: one["text"] for one in read.json["questions"]}
    assert texts["pregnancy"] == "Sind Sie schwanger, oder könnten Sie es sein?"
    (ear,) = [one for one in read.json["models"] if one["model"] == "ear_cymba"]
    assert ear["lock"]["detail"] == (
        "Die Sicherheitsfragen sind für dieses Gerät noch nicht beantwortet."
    )
    answers = dict.fromkeys(ear["questions"], "no") | {"pregnancy": "yes"}
    given = {
        "model": "ear_cymba",
        "text_version": read.json["text_version"],
        "answers": answers,
    }
    headers = {**person.headers, "If-Match": read.headers["ETag"]}
    shown = client.put("/v1/screening/answers", json=given, headers=headers).json
    (ear,) = [one for one in shown["models"] if one["model"] == "ear_cymba"]
    assert ear["text_version"] == "1/de"
    assert ear["lock"]["code"] == "contraindicated"
    assert ear["lock"]["errors"][0]["detail"] == texts["pregnancy"]
    with UnitOfWork(engine) as session:
        assert session.scalars(select(Screening.text_language)).all() == ["de"]

    change("en")  # answers that stand in German lock in English
    shown = client.get("/v1/screening", headers=person.headers).json
    (ear,) = [one for one in shown["models"] if one["model"] == "ear_cymba"]
    assert ear["lock"]["errors"][0]["detail"] == "Are you pregnant, or might you be?"


def test_the_diary_asks_in_the_persons_language(client, person, change):
    change("de")
    items = {
        one["name"]: one
        for one in client.get("/v1/diary/items", headers=person.headers).json["items"]
    }
    assert items["pain_now"]["title"] == "Schmerz jetzt"
    assert {"name": "head", "title": "Kopf"} in items["pain_site"]["options"]
    assert [one["title"] for one in items["cough"]["options"]][:2] == ["Gar nicht", "Leicht"]
    assert items["phq4"]["questions"][0] == "Nervosität, Ängstlichkeit oder Anspannung"
    assert items["phq4"]["options"][3] == {"name": "3", "title": "Beinahe jeden Tag"}
    assert items["pgic"]["options"][0] == {"name": "1", "title": "Sehr viel besser"}
    assert items["chest_pain"]["note"].startswith(CARE)


def test_every_choice_of_every_item_has_a_title(client, person):
    for item in client.get("/v1/diary/items", headers=person.headers).json["items"]:
        schema = item["value"]
        inner = schema.get("items", {})
        properties = {**schema.get("properties", {}), **inner.get("properties", {})}
        choices = [one["enum"] for one in (inner, *properties.values()) if "enum" in one]
        titled = [one["name"] for one in item["options"]]
        assert all(choice == titled for choice in choices), item["name"]


def test_a_change_of_language_reaches_every_mirror(client, person, change, hold):
    """What the mirror holds is what the API says in the new language, and nothing else came."""
    device_id = hold(person)
    flagged, plain = str(uuid4()), str(uuid4())
    client.put(f"/v1/diary/{flagged}", json=FELT, headers=person.headers)
    calm = FELT | {"items": {"pain_now": 3}}
    client.put(f"/v1/diary/{plain}", json=calm, headers=person.headers)
    first = client.get("/v1/sync", headers=person.headers).json
    assert change("de-DE").status_code == 200
    path = f"/v1/sync?cursor={first['next_cursor']}"
    after = client.get(path, headers=person.headers).json
    assert [one["id"] for one in after["diary_entries"]] == [flagged]
    assert after["diary_entries"][0]["advice"].startswith(CARE)
    assert [one["id"] for one in after["devices"]] == [device_id]
    assert after["devices"][0]["model_title"] == "Ohr, Cymba conchae"
    # The same language again, or another field, is no change of it.
    assert change("de-DE").status_code == 200
    path = f"/v1/sync?cursor={after['next_cursor']}"
    assert client.get(path, headers=person.headers).json["devices"] == []


def test_every_kind_that_has_a_text_is_announced_with_the_language():
    """A new text in the feed must be told, or a mirror keeps it in the old language."""
    texts = {"advice", "exposure_title", "model_title", "outcome_title", "refusal", "sentence"}

    def names(field):
        inner = getattr(field, "inner", field)
        if isinstance(inner, ma.fields.Nested):
            yield from inner.schema.fields
            for below in inner.schema.fields.values():
                yield from names(below)

    lists = SyncPageSchema().fields
    named = {kind: kind.replace("-entry", "_entrie").replace("-", "_") + "s" for kind in KINDS}
    has_text = {kind for kind, name in named.items() if texts & {*names(lists[name])}}
    assert has_text == {*SPOKEN, "diary-entry"}  # of entries those with a red flag


def test_a_problem_within_an_answer_speaks_too(client, person, change):
    change("de")
    operation = {
        "id": str(uuid4()),
        "kind": "diary-entry",
        "action": "put",
        "entity_id": str(uuid4()),
        "base_version": 0,
        "builds_on": [],
        "fields": {"items": {"pain_now": 11}},
    }
    body = {"operations": [operation]}
    answered = client.post("/v1/sync", json=body, headers=person.headers).json
    rejected = answered["answers"][0]["problem"]
    assert rejected["detail"] == "So geht es nicht: Tagebucheintrag."
    assert rejected["errors"][0]["detail"] == "muss eine ganze Zahl von 0 bis 10 sein"


def test_a_mail_about_the_account_speaks_its_language(client, person, change, engine):
    change("de")
    expires_at = (utc_now() + timedelta(days=7)).isoformat()
    wanted = {"label": "Dr. Weber", "scopes": ["diary"], "expires_at": expires_at}
    client.post("/v1/shares", json=wanted, headers=person.headers)
    with UnitOfWork(engine) as session:
        assert "Eine Freigabe wurde erstellt" in session.scalars(select(OutgoingMail.subject))


def test_what_is_said_of_a_field_is_said_in_the_language(client):
    """Also what marshmallow says, with what it filled in."""
    given = {
        "email": "ada@",
        "password": "short",
        "name": "a" * 201,
        "time_zone": 5,
        "locale": "de_DE",
        "unknown": 1,
    }
    refused = client.post("/v1/accounts", json=given, headers={"Accept-Language": "de"})
    assert {one["pointer"]: one["detail"] for one in refused.json["errors"]} == {
        "/email": "ist keine E-Mail-Adresse: Sie hat die Form Name@Domain",
        "/password": "Die Länge muss zwischen 10 und 200 liegen.",
        "/name": "Länger als die Höchstlänge 200.",
        "/time_zone": "Kein gültiger Text.",
        "/locale": "Der Text hat nicht die erwartete Form.",
        "/unknown": "Unbekanntes Feld.",
    }


def test_a_message_is_read_back_to_the_longest_template():
    message = "Must be greater than or equal to 1 and less than or equal to 5."
    assert Voice.of("de").translate(as_text(message)) == "Muss zwischen 1 und 5 liegen."
    assert as_text("Something else.") == "Something else."


def test_whoever_changes_the_language_over_and_over_is_stopped(client, person, change, monkeypatch):
    """Each time, all that has a text is written anew: it costs as if the app had written it."""
    for _ in range(5):
        client.put(f"/v1/diary/{uuid4()}", json=FELT, headers=person.headers)
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(capacity=12_000, leak_s=1))
    assert change("de").status_code == 200
    for _ in range(3):  # the same again tells nothing
        assert change("de").status_code == 200
    assert 429 in [change(tag).status_code for tag in ("en", "de", "en", "de", "en")]
