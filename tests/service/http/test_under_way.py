"""One party holds no more of the server than its part: threads, connections, hashes."""

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from cymba.accounts import passwords, single_use
from cymba.accounts.tables import Account
from cymba.accounts.throttle import BUCKETS, SIGNED_IN
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import reissue_secret
from cymba.stimulation.session import queries
from service.http import bearer
from service.http.device_login import check_is_own
from service.http.places import Places
from service.http.services import (
    CHANGES_OF_ONE,
    HASHES_OF_ONE,
    READINGS_OF_ONE,
    REQUESTS_OF_ONE,
)
from service.resources import accounts, frames
from tests.end_to_end.parts import PATIENCE_S
from tests.service.conftest import sign_up

CONNECTIONS = 60
PASSWORD = "correct horse battery"


class Gate:
    """Where requests stop until all that can come have come."""

    def __init__(self, app) -> None:
        self.app = app
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()

    def wait(self) -> None:
        self.arrived.release()
        assert self.open.wait(PATIENCE_S)

    def crowd(self, ask: Callable[[], int], within: int) -> list[int]:
        """The statuses of many who ask at once, of whom `within` stop at the gate; those who are
        refused are answered before it opens."""
        refused = threading.Semaphore(0)

        def asked() -> int:
            status = ask()
            refused.release()
            return status

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                asking = [pool.submit(asked) for _ in range(CONNECTIONS)]
                for _ in range(CONNECTIONS - within):
                    assert refused.acquire(timeout=PATIENCE_S), "somebody waits for the gate"
                for _ in range(within):
                    assert self.arrived.acquire(timeout=PATIENCE_S)
                self.check()
            finally:
                self.open.set()
            return sorted(one.result() for one in asking)

    def check(self) -> None:
        """What holds while the crowd is there; overwritten by who has more to ask."""


@pytest.fixture
def gate(app) -> Gate:
    return Gate(app)


@pytest.fixture
def slow_hash(gate, monkeypatch) -> None:
    """Hashes that take until the gate opens."""
    honest = passwords._hasher

    class Slow:
        def hash(self, password: str) -> str:
            gate.wait()
            return honest.hash(password)

        def verify(self, stored: str, password: str) -> bool:
            gate.wait()
            return honest.verify(stored, password)

        def check_needs_rehash(self, _stored: str) -> bool:
            return False

    passwords._hash_of_nothing()
    monkeypatch.setattr(passwords, "_hasher", Slow())


@pytest.fixture
def with_password(engine, person):
    stored = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(Account, person.id).password_hash = stored
    return person


def test_reads_of_one_account_hold_so_many_threads_and_no_more(
    app, gate, person, make_person, monkeypatch
):
    current = bearer.current_account
    blocked = person.id

    def wait(session):
        caller = current(session)
        if caller.id == blocked:
            gate.wait()
        return caller

    monkeypatch.setattr(accounts, "current_account", wait)
    neighbour = make_person()

    def check() -> None:
        read = app.test_client().get("/v1/account", headers=neighbour.headers)
        assert read.status_code == 200

    gate.check = check
    statuses = gate.crowd(
        lambda: app.test_client().get("/v1/account", headers=person.headers).status_code,
        within=REQUESTS_OF_ONE,
    )
    assert statuses == [200] * REQUESTS_OF_ONE + [429] * (CONNECTIONS - REQUESTS_OF_ONE)


def test_one_device_that_uploads_holds_no_place_of_another_behind_its_address(
    app, gate, engine, make_person, wear, monkeypatch
):
    worn, other = (wear(make_person()) for _ in range(2))

    def login(device_id: str) -> dict[str, str]:
        with UnitOfWork(engine) as session, session.begin():
            secret = reissue_secret(session, device_id)
        given = base64.b64encode(f"{device_id}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {given}"}

    logins = {one.device_id: login(one.device_id) for one in (worn, other)}

    def wait(device_id: str) -> None:
        check_is_own(device_id)
        if device_id == worn.device_id:
            gate.wait()

    monkeypatch.setattr(frames, "check_is_own", wait)

    def upload(one) -> int:
        path = f"/v1/devices/{one.device_id}/frames"
        asked = app.test_client().post(path, json=[], headers=logins[one.device_id])
        return asked.status_code

    def check_other() -> None:
        assert upload(other) == 200

    gate.check = check_other
    statuses = gate.crowd(lambda: upload(worn), within=CHANGES_OF_ONE)
    assert statuses == [200] * CHANGES_OF_ONE + [429] * (CONNECTIONS - CHANGES_OF_ONE)


def test_pushes_wait_for_no_other_push_of_their_account(app, engine, person):
    """The other one may be in another process: here it is held by a transaction of its own."""
    turn = func.hashtextextended(f"sync/{person.id}", 0)
    with engine.begin() as other:
        other.execute(select(func.pg_advisory_xact_lock(turn)))
        refused = app.test_client().post(
            "/v1/sync", json={"operations": []}, headers=person.headers
        )
        assert refused.status_code == 429
        assert refused.json["type"] == "urn:cymba:problem:busy"
        assert int(refused.headers["Retry-After"]) >= 1
    taken = app.test_client().post("/v1/sync", json={"operations": []}, headers=person.headers)
    assert taken.status_code == 200


@pytest.mark.usefixtures("slow_hash")
@pytest.mark.parametrize("password", [PASSWORD, "not the right one"])
def test_sign_ins_to_one_address_make_one_hash_at_a_time(
    app, gate, with_password, engine, password
):
    gate.check = lambda: assert_nothing_lent(engine)
    credentials = {"email": with_password.email, "password": password}
    statuses = gate.crowd(
        lambda: app.test_client().post("/v1/auth/token", json=credentials).status_code, within=1
    )
    assert statuses.count(429) == CONNECTIONS - 1


@pytest.mark.usefixtures("slow_hash")
def test_an_address_without_an_account_is_told_the_same(app, gate):
    credentials = {"email": "nobody@example.org", "password": PASSWORD}
    statuses = gate.crowd(
        lambda: app.test_client().post("/v1/auth/token", json=credentials).status_code, within=1
    )
    assert statuses == [401] + [429] * (CONNECTIONS - 1)


@pytest.mark.usefixtures("slow_hash")
def test_a_new_account_makes_its_hash_with_no_connection_held(app, gate, engine):
    gate.check = lambda: assert_nothing_lent(engine)

    def ask() -> int:
        account = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
        return sign_up(app.test_client(), account).status_code

    statuses = gate.crowd(ask, within=HASHES_OF_ONE)
    assert statuses.count(429) == CONNECTIONS - HASHES_OF_ONE


@pytest.mark.usefixtures("slow_hash")
@pytest.mark.parametrize("password", [PASSWORD, "not the right one"])
@pytest.mark.parametrize(
    ("method", "path", "named", "more"),
    [
        ("PATCH", "/v1/account", "current_password", {"new_password": "staple battery horse"}),
        ("POST", "/v1/account/proof", "password", {}),
        ("POST", "/v1/account/email", "password", {"new_email": "new@example.org"}),
    ],
)
def test_current_passwords_of_one_account_are_hashed_one_at_a_time_with_no_connection_held(
    app, gate, with_password, engine, method, path, named, more, password
):
    gate.check = lambda: assert_nothing_lent(engine)
    headers = with_password.headers | ({"If-Match": "*"} if method == "PATCH" else {})

    def ask() -> int:
        body = {named: password, **more}
        asked = app.test_client().open(path, method=method, json=body, headers=headers)
        return asked.status_code

    statuses = gate.crowd(ask, within=1)
    # More may follow the one that passed the gate: only what waits at the gate is bounded.
    assert statuses.count(429) == CONNECTIONS - 1
    assert (statuses[0] < 300) == (password == PASSWORD)


@pytest.mark.usefixtures("slow_hash")
def test_a_new_password_by_code_is_hashed_with_no_connection_held(app, gate, person, engine):
    with UnitOfWork(engine) as session, session.begin():
        code = single_use.make(session, person.id, "password-reset", now=utc_now())
    gate.check = lambda: assert_nothing_lent(engine)

    def ask() -> int:
        body = {"code": code, "new_password": "staple battery horse"}
        return app.test_client().post("/v1/auth/reset/confirm", json=body).status_code

    statuses = gate.crowd(ask, within=HASHES_OF_ONE)
    # The code is good once.
    assert statuses == [204, 422] + [429] * (CONNECTIONS - HASHES_OF_ONE)


def assert_nothing_lent(engine) -> None:
    """Nobody at the gate holds a connection. Those who were refused may still give theirs back."""
    deadline = threading.Event()
    while engine.pool.checkedout():
        assert not deadline.wait(0.01)


def test_a_busy_moment_is_no_wrong_guess(app, with_password, monkeypatch):
    credentials = {"email": with_password.email, "password": PASSWORD}
    client = app.test_client()
    with monkeypatch.context() as patched:
        patched.setattr(passwords, "AT_ONCE", 0)
        for _ in range(10):
            busy = client.post("/v1/auth/token", json=credentials)
            assert (busy.status_code, busy.json["type"]) == (429, "urn:cymba:problem:busy")
    assert client.post("/v1/auth/token", json=credentials).status_code == 200


def test_right_sign_ins_are_limited_too_and_the_limit_is_no_strangers(
    app, with_password, monkeypatch
):
    monkeypatch.setitem(BUCKETS, SIGNED_IN, type(BUCKETS[SIGNED_IN])(capacity=3, leak_s=60))
    client = app.test_client()

    def sign_in(password: str) -> int:
        credentials = {"email": with_password.email, "password": password}
        return client.post("/v1/auth/token", json=credentials).status_code

    assert [sign_in("wrong") for _ in range(3)] == [401] * 3
    assert [sign_in(PASSWORD) for _ in range(4)] == [200] * 3 + [429]


@contextmanager
def taken(places: Places, *owners: object) -> Iterator[None]:
    assert places.take(*owners)
    yield
    places.leave(*owners)


def test_places_count_each_owner_and_keep_some_for_newcomers():
    places = Places(4, most=16, for_newcomers=4)
    # Four accounts and one device: without the device as an owner these would be all.
    assert [places.take(f"account {n}", "device") for n in range(4)] == [True] * 4
    assert not places.take("account 0", "device")
    for n in range(8):
        assert places.take(f"account {4 + n // 4}", f"device {n // 4}")
    assert places.count() == 12
    assert not places.take("account 0", "another device")  # it has one, and four are kept
    assert [places.take(f"newcomer {n}") for n in range(5)] == [True] * 4 + [False]
    places.leave("newcomer 0")
    with taken(places, "newcomer 5"):
        assert places.count() == 16
    assert places.count() == 15


@pytest.mark.parametrize("what", ["telemetry", "telemetry?format=csv", "events"])
def test_whole_sessions_are_read_by_so_many_at_once(app, gate, wear, person, monkeypatch, what):
    worn = wear(person).samples().end().sum_up()
    load = "load_frames" if what == "events" else "load_columns"
    honest = getattr(queries, load)

    def wait(*args, **options):
        gate.wait()
        return honest(*args, **options)

    monkeypatch.setattr(queries, load, wait)
    path = f"/v1/sessions/{worn.id}/{what}"

    def ask() -> int:
        with app.test_client().get(path, headers=person.headers) as answer:
            return answer.status_code

    statuses = gate.crowd(ask, within=READINGS_OF_ONE)
    assert statuses == [200] * READINGS_OF_ONE + [429] * (CONNECTIONS - READINGS_OF_ONE)


def test_an_answer_that_waits_for_its_client_keeps_its_place(app, wear, person):
    worn = wear(person).samples().end().sum_up()
    path = f"/v1/sessions/{worn.id}/telemetry"
    slow = [app.test_client().get(path, headers=person.headers) for _ in range(READINGS_OF_ONE)]
    assert app.test_client().get(path, headers=person.headers).status_code == 429
    for one in slow:
        assert one.status_code == 200
        one.close()
    with app.test_client().get(path, headers=person.headers) as answer:
        assert answer.status_code == 200
    assert app.extensions["cymba"].readings.count() == 0
