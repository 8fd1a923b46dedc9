"""Reads over a line that commits itself: who may read is looked up at each of them."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from cymba import database
from cymba.accounts import consent, sharing
from cymba.accounts.tables import Account, AuditEntry
from cymba.accounts.tokens import sign_out_everywhere
from cymba.database import UnitOfWork, reading, utc_now
from cymba.insights.tables import Finding

HOT = {
    "/v1/sessions": "sessions",
    "/v1/insights/correlations": "insights",
    "/v1/history?from=2026-03-01&to=2026-03-02": "sessions",
    "/v1/sync": None,
}
"""The routes that read so, with the scope of the shares that open each (None: no share does)."""


@pytest.fixture(params=HOT)
def path(request):
    return request.param


@pytest.fixture
def ada(make_person, wear, engine):
    ada = make_person()
    wear(ada).samples().end().sum_up()
    agree(engine, ada)
    with UnitOfWork(engine) as session, session.begin():
        finding = Finding(
            account_id=ada.id, exposure="charge", outcome="pain_now", lag=1, tier="primary",
            grade="collecting", reasons=[], milestone=0, pairs_now=3, days=9,
            exposure_coverage=1.0, outcome_coverage=0.5, looks=[], method_version="1",
            input_hash="", changed_at=utc_now(),
        )  # fmt: skip
        session.add(finding)
    return ada


def agree(engine, person):
    with UnitOfWork(engine) as session, session.begin():
        consent.give(session, person.id, "insights", version="1/en", now=utc_now())


def share_of(engine, person, *scopes):
    now = utc_now()
    with UnitOfWork(engine) as session, session.begin():
        share, token = sharing.create(
            session, person.id, label="", scopes=scopes, expires_at=now + timedelta(days=1), now=now
        )
        return share.id, {"Authorization": f"Bearer {token}"}


def test_a_sign_in_that_was_ended_reads_nothing_more(client, engine, ada, path):
    assert client.get(path, headers=ada.headers).status_code == 200
    with UnitOfWork(engine) as session, session.begin():
        sign_out_everywhere(session, ada.id, utc_now())
    assert client.get(path, headers=ada.headers).status_code == 401


def test_an_account_that_is_gone_reads_nothing(client, engine, person, path):
    assert client.get(path, headers=person.headers).status_code in {200, 403}
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM account WHERE id = :id"), {"id": person.id})
    assert client.get(path, headers=person.headers).status_code == 401


def test_two_people_in_turn_over_one_line_read_their_own(client, engine, ada, make_person, path):
    eve = make_person()
    agree(engine, eve)
    answers = [client.get(path, headers=one.headers).json for one in (ada, eve, ada, eve)]
    assert answers[0] == answers[2]
    assert answers[1] == answers[3]
    assert answers[0] != answers[1]


def test_a_share_reads_as_its_person_does_and_is_noted(client, engine, ada, path):
    scope = HOT[path]
    _, headers = share_of(engine, ada, "sessions", "diary", "insights")
    shared = client.get(path, headers=headers)
    if scope is None:
        assert shared.status_code == 403
        return
    own = client.get(path, headers=ada.headers).json
    assert shared.status_code == 200
    assert shared.json.keys() == own.keys()
    with UnitOfWork(engine) as session:
        noted = session.scalars(select(AuditEntry.action).where(AuditEntry.account_id == ada.id))
        assert list(noted).count(f"{scope}.read") == 1


def test_a_share_of_another_scope_or_one_that_was_ended_reads_nothing(client, engine, ada, path):
    others = {"sessions", "diary", "insights"} - {HOT[path]}
    _, headers = share_of(engine, ada, *others)
    assert client.get(path, headers=headers).status_code == 403
    share_id, headers = share_of(engine, ada, "sessions", "diary", "insights")
    with UnitOfWork(engine) as session, session.begin():
        sharing.revoke(session, ada.id, share_id, now=utc_now())
    assert client.get(path, headers=headers).status_code in {401, 403}


def test_a_line_that_was_cut_costs_one_answer(client, engine, ada, path, monkeypatch):
    monkeypatch.setattr(database, "SURELY_THERE_S", 600)
    assert client.get(path, headers=ada.headers).status_code == 200
    with reading(engine) as line:
        pid = line.info.backend_pid
    with engine.connect() as _, engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        other.rollback()
    cut = client.get(path, headers=ada.headers)
    assert cut.status_code == 503
    assert cut.headers["Retry-After"]
    assert client.get(path, headers=ada.headers).status_code == 200


def test_a_line_goes_back_whatever_happens_on_it(client, engine, ada, path, monkeypatch):
    monkeypatch.setattr("cymba.database.Prepared.rows", lambda *_, **__: 1 / 0)
    assert [client.get(path, headers=ada.headers).status_code for _ in range(30)] == [500] * 30
    assert engine.pool.checkedout() == 0


def test_a_share_is_read_in_the_language_of_whoever_looks(client, engine, ada):
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(Account, ada.id).locale = "de"
    _, headers = share_of(engine, ada, "insights")

    def sentence(headers):
        answer = client.get("/v1/insights/correlations", headers=headers).json
        return answer["primary"][0]["sentence"]

    german = sentence(ada.headers)
    assert sentence(headers) == german
    assert sentence(headers | {"Accept-Language": "en"}) != german
