import hashlib

from cymba.accounts.consent import PURPOSES
from cymba.accounts.tables import Consent
from cymba.database import UnitOfWork, utc_now
from cymba.voice import LANGUAGES


def test_a_text_is_read_agreed_to_and_taken_back(client, person):
    listed = client.get("/v1/consents", headers=person.headers).json["purposes"]
    by_name = {purpose["name"]: purpose for purpose in listed}
    insights = by_name["insights"]
    assert hashlib.sha256(insights["text"].encode()).hexdigest() == insights["text_sha256"]
    assert insights["given"] is None
    path = "/v1/consents/insights"
    given = client.post(
        path, json={"text_version": insights["text_version"]}, headers=person.headers
    )
    assert given.json["text_sha256"] == insights["text_sha256"]
    again = client.post(
        path, json={"text_version": insights["text_version"]}, headers=person.headers
    )
    assert again.json == given.json
    for _ in range(2):
        assert client.delete(path, headers=person.headers).status_code == 204
    after = client.get("/v1/consents", headers=person.headers).json
    assert [one["purpose"] for one in after["history"]] == ["insights"]
    assert after["history"][0]["withdrawn_at"]


def test_every_consent_that_is_asked_for_decides_something(client, person):
    """Sessions and the diary are kept without any; one of before, which decided nothing, is history
    that can be taken back."""
    listed = client.get("/v1/consents", headers=person.headers).json["purposes"]
    assert [purpose["name"] for purpose in listed] == ["insights", "research"]
    path = "/v1/consents/storage"
    assert (
        client.post(path, json={"text_version": "1/en"}, headers=person.headers).status_code == 404
    )
    assert client.delete(path, headers=person.headers).status_code == 404
    engine = client.application.extensions["cymba"].engine
    with UnitOfWork(engine) as session, session.begin():
        given = {"purpose": "storage", "text_version": 1, "text_sha256": "0" * 64}
        session.add(Consent(account_id=person.id, given_at=utc_now(), **given))
    assert client.delete(path, headers=person.headers).status_code == 204
    (old,) = client.get("/v1/consents", headers=person.headers).json["history"]
    assert old["purpose"] == "storage"
    assert old["withdrawn_at"]


def test_a_text_and_its_edition_go_together():
    """Whoever changes a word, in whichever language, raises the edition: the proof of a consent is
    the digest of what was read."""
    known = {
        ("insights", "1/en"): "7ecc773f1312e5bce59adb6f8f8620910995b761a11e849d79957b0c9ebe0259",
        ("insights", "1/de"): "62e3c3926e2b7e0aaa541e6233aa17b7ab571408b8e5160c7363a5cf59598584",
        ("research", "1/en"): "73da2f50c540e3cba4222b7a0754ac60f329fefc4dfb43792e26fd9cd0d89ee5",
        ("research", "1/de"): "09f6082a9502e1ea88d5a1b1babd0fe3c64343eb5af6468a908310c30d4c6622",
    }
    assert known == {
        (one.name, str(one.version_in(language))): one.sha256_in(language)
        for one in PURPOSES.values()
        for language in LANGUAGES
    }


def test_only_the_text_as_it_stands_can_be_agreed_to(client, person):
    edition = PURPOSES["insights"].edition
    for version in (f"{edition + 1}/en", f"{edition}/fr", f"{edition}", f"0{edition}/en", "en"):
        wanted = {"text_version": version}
        stale = client.post("/v1/consents/insights", json=wanted, headers=person.headers)
        assert stale.status_code == 412
    wanted = {"text_version": "1/en"}
    unknown = client.post("/v1/consents/sale", json=wanted, headers=person.headers)
    assert unknown.status_code == 404


def test_without_consent_no_insights(client, person):
    refused = client.get("/v1/insights/correlations", headers=person.headers)
    assert refused.json["type"] == "urn:cymba:problem:consent-required"
