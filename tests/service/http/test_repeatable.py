"""A request that makes something, sent again under its Idempotency-Key."""

import json
from datetime import timedelta
from threading import Thread
from uuid import uuid4

import pytest
from sqlalchemy import Text, cast, column, func, select, update
from sqlalchemy import table as table_of

from cymba.accounts import kept_answers, quotas
from cymba.accounts.rate_limiter import Bucket
from cymba.accounts.tables import KeptAnswer, RefreshToken, Share
from cymba.accounts.tokens import PROVED_FOR
from cymba.database import UnitOfWork, utc_now
from cymba.rights.retention import RULES, remove_some
from cymba.settings import Settings
from cymba.tables import metadata
from tests.faults import fail_each_statement

NOW = utc_now()


def wanted(**changes):
    until = (NOW + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"label": "Dr. Weber", "scopes": ["diary"], "expires_at": until} | changes


@pytest.fixture
def ask(client, person):
    def post(key, *, who=person, path="/v1/shares", body=None, **more):
        headers = who.headers | {"Idempotency-Key": key}
        given = wanted() if body is None else body
        return client.post(path, json=given, headers=headers, **more)

    return post


@pytest.fixture
def rows(engine):
    def count(table):
        with UnitOfWork(engine) as session:
            return session.scalar(select(func.count()).select_from(table))

    return count


def code_of(response):
    return (response.status_code, response.json["type"].rpartition(":")[2])


def test_a_request_sent_again_makes_nothing_new_and_gets_the_same_bytes(ask, rows):
    key = str(uuid4())
    first, again, quoted = ask(key), ask(key), ask(f'"{key}"')
    assert first.status_code == 201
    for other in (again, quoted):
        assert (other.status_code, other.data) == (first.status_code, first.data)
        assert other.headers["Content-Type"] == first.headers["Content-Type"]
    assert rows(Share) == 1
    assert ask(str(uuid4())).json["id"] != first.json["id"]


def test_the_first_answer_comes_again_with_its_tag_and_not_as_things_are_now(
    client, ask, person, hold
):
    device = hold(person)
    path = f"/v1/devices/{device}/transfer"
    first = ask("transfer-" + device, path=path)
    assert first.status_code == 201
    assert ask("transfer-" + device, path=path).data == first.data
    consents = {"path": "/v1/consents/insights", "body": {"text_version": "1/en"}}
    given = ask("consent-0123456789", **consents)
    client.delete("/v1/consents/insights", headers=person.headers)
    again = ask("consent-0123456789", **consents)
    assert again.data == given.data
    assert again.headers.get("Content-Language") == given.headers.get("Content-Language")
    listed = client.get("/v1/consents", headers=person.headers).json["history"]
    assert len(listed) == 1  # what was taken back meanwhile is not given again


def test_one_body_is_the_same_in_every_order_and_another_is_refused(client, ask, person, rows):
    key = str(uuid4())
    first = ask(key)
    turned = dict(reversed(wanted().items()))
    headers = person.headers | {"Idempotency-Key": key, "Content-Type": "application/json"}
    again = client.post("/v1/shares", data=json.dumps(turned, indent=2), headers=headers)
    assert again.data == first.data
    assert code_of(ask(key, body=wanted(label="x"))) == (422, "key-reused")
    elsewhere = ask(key, path="/v1/consents/insights", body={"text_version": "1/en"})
    assert code_of(elsewhere) == (422, "key-reused")
    assert rows(Share) == 1


def test_another_accounts_key_opens_nothing(ask, make_person, rows):
    key = str(uuid4())
    mine, theirs = ask(key), ask(key, who=make_person())
    assert mine.json["token"] != theirs.json["token"]
    assert rows(KeptAnswer) == 2


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 129, "x" * 30_000, "ü" * 16, "a" * 15 + ",", '""', "a b" * 10]
)
def test_what_is_no_key_is_refused_and_not_repeated_back(ask, rows, key):
    refused = ask(key)
    assert code_of(refused) == (422, "validation")
    assert len(refused.data) < 1_000
    assert refused.json["errors"][0]["parameter"] == "Idempotency-Key"
    assert rows(Share) == 0


def test_a_problem_is_not_kept(ask, rows):
    key = str(uuid4())
    assert ask(key, body=wanted(scopes=["everything"])).status_code == 422
    assert rows(KeptAnswer) == 0
    assert ask(key).status_code == 201


def test_a_guess_is_counted_although_the_request_fails(ask, rows):
    """A key does not undo what a view keeps of a request that it refuses."""
    guess = {"serial": "nobody", "code": "GUESS"}
    codes = [ask(str(uuid4()), path="/v1/devices/claim", body=guess) for _ in range(11)]
    assert [one.status_code for one in codes] == [404] * 10 + [429]
    assert rows(KeptAnswer) == 0


def test_neither_the_key_nor_a_secret_of_the_answer_lies_in_the_database(ask, engine):
    key = str(uuid4())
    token = ask(key).json["token"]
    with engine.connect() as connection:
        for table in metadata.tables:
            row = column(table)  # all of it, as text
            for stored in connection.scalars(select(cast(row, Text)).select_from(table_of(table))):
                for secret in (token, key):
                    assert secret not in stored
                    assert secret.encode().hex() not in stored


def test_a_thief_with_a_token_is_not_given_a_secret_again_without_proof(ask, engine):
    key = str(uuid4())
    first = ask(key)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=utc_now() - PROVED_FOR))
    assert code_of(ask(key)) == (403, "reauthentication-required")
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=utc_now()))
    assert ask(key).data == first.data


def test_a_signed_out_token_gets_nothing_again(ask, engine):
    key = str(uuid4())
    ask(key)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(revoked_at=utc_now()))
    assert ask(key).status_code == 401


def test_while_the_first_is_under_way_the_second_is_told_so(ask, engine, app, person, rows):
    """The first holds the person's row, as long as another transaction does."""
    key, answers = str(uuid4()), []
    at = kept_answers.slot(app.extensions["cymba"].kept_answers_key, person.id, key, b"")
    with UnitOfWork(engine) as first, first.begin():
        assert kept_answers.find(first, b"", at, now=utc_now()) is None
        second = Thread(target=lambda: answers.append(ask(key)))
        second.start()
        second.join(20)
    assert code_of(answers[0]) == (409, "request-under-way")
    assert ask(key).status_code == 201
    assert rows(Share) == 1


def test_many_at_once_make_one(ask, rows):
    key, answers = str(uuid4()), []
    threads = [Thread(target=lambda: answers.append(ask(key))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = {one.data for one in answers if one.status_code == 201}
    assert len(made) == 1
    assert {one.status_code for one in answers} <= {201, 409}
    assert rows(Share) == 1


def test_work_and_answer_are_stored_together_or_not_at_all(ask, engine):
    key = str(uuid4())

    def state():
        with engine.connect() as connection:
            count = select(func.count())
            return [connection.scalar(count.select_from(one)) for one in (Share, KeptAnswer)]

    def both():
        shares, kept = state()
        assert shares == kept

    fail_each_statement(engine, lambda: ask(key), state, holds=both)


def test_a_key_is_good_for_a_day_and_then_forgotten(ask, engine, rows):
    key = str(uuid4())
    first = ask(key)
    (rule,) = (one for one in RULES if one.name == "kept-answers")
    for age, left in ((timedelta(hours=23), 1), (timedelta(hours=24), 0)):
        with UnitOfWork(engine) as session, session.begin():
            session.execute(update(KeptAnswer).values(kept_at=utc_now() - age))
        again = ask(key)
        assert (again.data == first.data) == bool(left)
        with UnitOfWork(engine) as session, session.begin():
            session.execute(update(KeptAnswer).values(kept_at=utc_now() - age))
            remove_some(session, rule, Settings(), now=utc_now())
        assert rows(KeptAnswer) == left


def test_what_is_kept_counts_as_written(ask, monkeypatch, rows):
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(10_000, 1e9))
    taken = 0
    while (answer := ask(str(uuid4()))).status_code == 201:
        taken += 1
    assert answer.status_code == 429
    assert 2 <= taken <= 10_000 / (2 * quotas.REQUEST_BYTES)
    assert rows(Share) == rows(KeptAnswer) == taken


def test_it_goes_with_the_account(client, ask, person, rows):
    ask(str(uuid4()))
    gone = client.delete("/v1/account", headers=person.headers | {"If-Match": "*"})
    assert gone.status_code < 300
    assert rows(KeptAnswer) == 0


# They make nothing, or have a way of their own to be sent again.
WITHOUT = {
    "/v1/sync": "its operations carry ids",
    "/v1/sync/live-ticket": "makes what ends after half a minute",
    "/v1/devices/{device_id}/frames": "frames carry their numbers",
    "/v1/account/proof": "gives the same proof once more",
    "/v1/account/email": "mails a code, and the last one is good",
    "/v1/account/oidc/{provider}/start": "begins something that is forgotten if it does not go on",
    "/v1/experiments/preview": "reads",
    "/v1/apps/requests": "reads",
    "/v1/apps/allowances": "makes what ends after a minute if its answer is lost",
    "/v1/apps/refusals": "makes nothing",
    "/v1/imports/{import_id}/mapping": "has the file read once more, by what it says",
    "/v1/imports/{import_id}/confirm": "changes nothing the second time",
    "/v1/imports/{import_id}/undo": "changes nothing the second time",
}


def test_every_post_of_a_person_takes_a_key_or_needs_none(document):
    token = {"bearer": []}
    for path, item in document.api["paths"].items():
        operation = item.get("post")
        if operation and token in operation.get("security", [token]):
            takes = any(one["name"] == "Idempotency-Key" for one in operation["parameters"])
            assert takes != (path in WITHOUT), path
