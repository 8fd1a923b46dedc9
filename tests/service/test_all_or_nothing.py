"""Rules of safety and of rights that take two writes: the database fails at every statement, and
either all is done or nothing. The rule itself holds at each point."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, text

from cymba.accounts import consent, single_use
from cymba.accounts.passwords import hash_password
from cymba.accounts.tables import Account, ProviderIdentity
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.provisioning import provision
from cymba.insights.tables import Finding
from cymba.tables import metadata
from service.http.services import Services
from tests.faults import fail_each_statement
from tests.service.bodies import FAINTED
from tests.service.conftest import ApiUser

TABLES = (
    "account", "audit_entry", "change", "consent", "device", "device_programme", "device_tenure",
    "diary_entry", "finding", "insight_state", "provider_identity", "rate_limit", "red_flag",
    "refresh_token", "retained_withdrawal", "single_use_token", "sync_operation",
)  # fmt: skip
UNSAFE = text(
    """
    SELECT t.device_id FROM device_tenure AS t
    WHERE t.released_at IS NULL
      AND EXISTS (SELECT FROM red_flag AS f
                  WHERE f.account_id = t.account_id AND f.lifted_at IS NULL)
      AND NOT EXISTS (SELECT FROM device_programme AS p
                      WHERE p.device_id = t.device_id
                        AND p.ver = (SELECT max(ver) FROM device_programme AS o
                                     WHERE o.device_id = p.device_id)
                        AND CAST(p.limits ->> 'amplitude_ua' AS float8) = 0)
    """
)


@pytest.fixture
def state(engine: Engine) -> Callable[[], dict[str, list[Any]]]:
    """Every row that the rules are about."""

    def read() -> dict[str, list[Any]]:
        with engine.connect() as connection:
            return {
                name: sorted(map(repr, connection.execute(select(metadata.tables[name]))))
                for name in TABLES
            }

    return read


@pytest.fixture
def is_safe(engine: Engine) -> Callable[[], None]:
    """While a red flag stands, no device that its person holds may have a current."""

    def check() -> None:
        with engine.connect() as connection:
            assert connection.scalars(UNSAFE).all() == []

    return check


def done(response: Any) -> None:
    assert response.status_code in {200, 201, 204, 503}, response.data


def test_a_device_that_is_claimed_under_a_red_flag(
    client: FlaskClient, person: ApiUser, hold: Any, engine: Engine, state: Any, is_safe: Any
) -> None:
    hold(person)
    done(client.put(f"/v1/diary/{uuid4()}", json=FAINTED, headers=person.headers))
    with UnitOfWork(engine) as session, session.begin():
        made = next(provision(session, "ear_cymba"))
    body = {"serial": made.serial, "code": made.claim_code}
    fail_each_statement(
        engine,
        lambda: done(client.post("/v1/devices/claim", json=body, headers=person.headers)),
        state,
        holds=is_safe,
    )
    assert len(client.get("/v1/devices", headers=person.headers).json["items"]) == 2


def test_a_red_flag_that_is_written_into_the_diary(
    client: FlaskClient, person: ApiUser, hold: Any, engine: Engine, state: Any, is_safe: Any
) -> None:
    hold(person)
    hold(person, model="neck")
    path = f"/v1/diary/{uuid4()}"
    fail_each_statement(
        engine,
        lambda: done(client.put(path, json=FAINTED, headers=person.headers)),
        state,
        holds=is_safe,
    )
    assert client.get("/v1/screening", headers=person.headers).json["red_flags"]


def test_a_red_flag_that_comes_with_sync(
    client: FlaskClient, person: ApiUser, hold: Any, engine: Engine, state: Any, is_safe: Any
) -> None:
    hold(person)
    operation = {
        "id": str(uuid4()), "kind": "diary-entry", "action": "put", "entity_id": str(uuid4()),
        "base_version": 0, "fields": FAINTED,
    }  # fmt: skip
    body = {"operations": [operation]}
    fail_each_statement(
        engine,
        lambda: done(client.post("/v1/sync", json=body, headers=person.headers)),
        state,
        holds=is_safe,
    )
    assert client.get("/v1/screening", headers=person.headers).json["red_flags"]


def test_a_device_that_is_let_go(
    client: FlaskClient, person: ApiUser, hold: Any, engine: Engine, state: Any, is_safe: Any
) -> None:
    device_id = hold(person)
    done(client.put(f"/v1/diary/{uuid4()}", json=FAINTED, headers=person.headers))
    path = f"/v1/devices/{device_id}"
    etag = client.get(path, headers=person.headers).headers["ETag"]
    headers = {**person.headers, "If-Match": etag}
    fail_each_statement(
        engine, lambda: done(client.delete(path, headers=headers)), state, holds=is_safe
    )


def test_a_consent_that_is_taken_back(
    client: FlaskClient, person: ApiUser, engine: Engine, state: Any
) -> None:
    with UnitOfWork(engine) as session, session.begin():
        consent.give(session, person.id, "insights", version="1/en", now=utc_now())
        session.add(a_finding(person.id))

    def no_finding_without_consent() -> None:
        with engine.connect() as connection:
            findings = connection.scalar(text("SELECT count(*) FROM finding"))
            consents = text("SELECT count(*) FROM consent WHERE withdrawn_at IS NULL")
            assert not findings or connection.scalar(consents)

    fail_each_statement(
        engine,
        lambda: done(client.delete("/v1/consents/insights", headers=person.headers)),
        state,
        holds=no_finding_without_consent,
    )


def a_finding(account_id: UUID) -> Finding:
    return Finding(
        account_id=account_id, exposure="charge", outcome="pain_now", lag=1, tier="primary",
        grade="collecting", reasons=[], milestone=0, pairs_now=3, days=3, exposure_coverage=1.0,
        outcome_coverage=1.0, looks=[], method_version="1", input_hash="", version=1,
        changed_at=utc_now(),
    )  # fmt: skip


@pytest.fixture
def elsewhere(app: Any, engine: Engine, person: ApiUser) -> None:
    """The person has a password and a linked provider, and is signed in elsewhere; a change of the
    address and a linking have been begun there."""
    services: Services = app.extensions["cymba"]
    with UnitOfWork(engine) as session, session.begin():
        account = session.get_one(Account, person.id)
        account.password_hash = hash_password("correct horse battery")
        session.add(
            ProviderIdentity(issuer="https://id.example", subject="1", account_id=person.id)
        )
        sign_in(session, services.signer, person.id, utc_now())
        single_use.make(session, person.id, "email-change", payload="t@example.org", now=utc_now())


@pytest.mark.usefixtures("elsewhere")
def test_a_new_password(client: FlaskClient, person: ApiUser, engine: Engine, state: Any) -> None:
    etag = client.get("/v1/account", headers=person.headers).headers["ETag"]
    headers = {**person.headers, "If-Match": etag}
    body = {"current_password": "correct horse battery", "new_password": "staple battery horse"}

    def but_limits() -> dict[str, list[Any]]:
        return {name: rows for name, rows in state().items() if name != "rate_limit"}

    def no_guess_is_counted() -> None:
        """However often the database fails: the one row is what the request's own bytes cost."""
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM rate_limit")) <= 1

    fail_each_statement(
        engine,
        lambda: done(client.patch("/v1/account", json=body, headers=headers)),
        but_limits,
        holds=no_guess_is_counted,
    )
    with engine.connect() as connection:
        assert connection.scalar(
            text("SELECT count(*) FROM refresh_token WHERE revoked_at IS NULL")
        ) == 1  # fmt: skip
        assert connection.scalar(text("SELECT count(*) FROM single_use_token")) == 0


@pytest.mark.usefixtures("elsewhere")
def test_a_sign_in_at_a_provider_that_is_unlinked(
    client: FlaskClient, person: ApiUser, engine: Engine, state: Any
) -> None:
    (linked,) = client.get("/v1/account/identities", headers=person.headers).json["items"]
    path = f"/v1/account/identities/{linked['id']}"
    fail_each_statement(engine, lambda: done(client.delete(path, headers=person.headers)), state)
    with engine.connect() as connection:
        assert connection.scalar(
            text("SELECT count(*) FROM refresh_token WHERE revoked_at IS NULL")
        ) == 1  # fmt: skip


def test_a_look_at_what_is_shared_is_never_without_its_note(
    client: FlaskClient, person: ApiUser, engine: Engine, state: Any
) -> None:
    wanted = {"label": "Dr. Weber", "scopes": ["diary"]}
    wanted["expires_at"] = (utc_now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = client.post("/v1/shares", json=wanted, headers=person.headers)
    shared = {"Authorization": f"Bearer {made.json['token']}"}
    fail_each_statement(engine, lambda: done(client.get("/v1/diary", headers=shared)), state)


def test_a_claim_and_a_red_flag_at_the_same_time(
    client: FlaskClient, person: ApiUser, engine: Engine, is_safe: Any
) -> None:
    """The flag is raised while a claim is under way, which has not seen it."""
    with UnitOfWork(engine) as session, session.begin():
        made = next(provision(session, "ear_cymba"))

    def feel() -> None:
        done(client.put(f"/v1/diary/{uuid4()}", json=FAINTED, headers=person.headers))

    with UnitOfWork(engine) as session, session.begin():
        claiming.claim(session, person.id, made.serial, made.claim_code, utc_now())
        thread = Thread(target=feel)
        thread.start()
        waits = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        with engine.connect() as connection:
            while thread.is_alive() and not connection.scalar(waits):
                connection.rollback()
    thread.join()
    is_safe()
    assert client.get("/v1/screening", headers=person.headers).json["red_flags"]
