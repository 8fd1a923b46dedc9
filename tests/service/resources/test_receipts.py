"""What a person is told of the erasure of their account, when it is gone."""

from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import func, select, update

from cymba.accounts.tables import Account, ErasureReceipt, RefreshToken
from cymba.accounts.tokens import PROVED_FOR
from cymba.database import UnitOfWork, utc_now
from cymba.rights import receipts
from cymba.rights.personal_data import PERSONAL_TABLES
from cymba.voice import Voice

ENTRY = {"felt_at": "2026-03-01T07:30:00Z", "time_zone": "UTC", "items": {"pain_now": 4}}


@pytest.fixture
def erase(client, person):
    def delete(who=person):
        return client.delete("/v1/account", headers=who.headers | {"If-Match": "*"})

    return delete


def read(client, token):
    return client.get("/v1/erasure-receipt", headers={"Authorization": f"Bearer {token}"})


def count(engine, table):
    with UnitOfWork(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


def test_it_says_what_went_and_how_much_and_what_stays_and_why(client, person, erase, wear):
    wear(person).samples().end().sum_up()
    for number in range(3):
        path = f"/v1/diary/00000000-0000-4000-8000-00000000000{number}"
        assert client.put(path, json=ENTRY, headers=person.headers).status_code == 201
    told = erase().json
    rows = {one["what"]: one["rows"] for one in told["erased"]}
    assert rows["the diary"] == 3
    assert rows["sessions"] == 1
    assert rows["the account itself"] == 1
    assert all(rows.values())
    assert "The devices that you held, in the inventory: 1" in [
        one["what"] for one in told["stays"]
    ]
    assert all(one["why"] for one in told["stays"])
    again = read(client, told["token"])
    assert (again.status_code, again.json) == (200, told)


def test_it_speaks_the_persons_language_and_names_nobody(person, erase, engine):
    with UnitOfWork(engine) as session, session.begin():
        account = session.get_one(Account, person.id)
        account.locale, account.name = "de-AT", "Ada"
    answered = erase()
    told = answered.json
    assert told["language"] == answered.headers["Content-Language"] == "de"
    assert told["title"].startswith("Ihr Konto wurde am ")
    assert "das Konto selbst" in [one["what"] for one in told["erased"]]
    assert not any(one["what"].startswith("The devices") for one in told["stays"])
    with UnitOfWork(engine) as session:
        stored = session.scalars(select(ErasureReceipt)).one()
    for mark in (person.email, "Ada", str(person.id), told["token"]):
        assert mark not in str(stored.told)
    assert told["token"].encode() not in stored.token_hash


def test_every_word_of_it_is_there_in_every_language():
    words = [receipts.TITLE, *(holding.about for holding in PERSONAL_TABLES)]
    words += [word for pair in (*receipts.OF_DEVICES, *receipts.OF_ALL) for word in pair]
    german = Voice.of("de")
    assert [word for word in words if german.translate(word) == word] == []


def test_a_lost_answer_comes_again_and_of_two_at_once_both_get_it(
    client, person, erase, engine, make_person
):
    answers = []
    threads = [Thread(target=lambda: answers.append(erase())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.append(erase())
    assert [one.status_code for one in answers] == [200] * 3
    assert len({one.data for one in answers}) == 1
    assert count(engine, ErasureReceipt) == 1
    assert client.get("/v1/account", headers=person.headers).status_code == 401
    assert erase(make_person()).json["token"] != answers[0].json["token"]


def test_who_was_signed_out_and_not_erased_gets_none(erase, engine):
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(revoked_at=utc_now()))
    assert erase().status_code == 401
    assert count(engine, ErasureReceipt) == 0


def test_without_fresh_proof_nothing_goes_and_nothing_is_told(erase, engine):
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=utc_now() - PROVED_FOR))
    assert erase().json["type"] == "urn:cymba:problem:reauthentication-required"
    assert (count(engine, Account), count(engine, ErasureReceipt)) == (1, 0)


@pytest.mark.parametrize("guess", ["receipt_", "receipt_" + "A" * 43, "receipt_" + "x" * 9_000])
def test_a_guess_at_a_token_reads_nothing(client, erase, guess):
    token = erase().json["token"]
    assert read(client, guess).status_code == 404
    assert read(client, token[:-1]).status_code == 404


def test_no_other_token_reads_one(client, person, erase):
    assert client.get("/v1/erasure-receipt", headers=person.headers).status_code == 401
    token = erase().json["token"]
    with_it = {"Authorization": f"Bearer {token}"}
    assert client.get("/v1/account", headers=with_it).status_code == 401
    assert client.get("/v1/erasure-receipt").status_code == 401


def test_it_is_gone_after_its_time(client, erase, engine):
    token = erase().json["token"]
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(ErasureReceipt).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert read(client, token).status_code == 404
