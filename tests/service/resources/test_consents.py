import hashlib

from cymba.accounts.consent import PURPOSES


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


def test_only_the_text_as_it_stands_can_be_agreed_to(client, person):
    version = PURPOSES["insights"].version + 1
    wanted = {"text_version": version}
    stale = client.post("/v1/consents/insights", json=wanted, headers=person.headers)
    assert stale.status_code == 412
    unknown = client.post("/v1/consents/sale", json={"text_version": 1}, headers=person.headers)
    assert unknown.status_code == 404


def test_without_consent_no_insights(client, person):
    refused = client.get("/v1/insights/correlations", headers=person.headers)
    assert refused.json["type"] == "urn:cymba:problem:consent-required"
