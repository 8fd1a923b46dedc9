"""Apps of others are let in by OAuth 2, as SMART on FHIR has it; and no trick lets one in."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from cymba.accounts import app_clients, app_grants, app_scopes
from cymba.accounts.tables import AuditEntry, Share
from cymba.database import UnitOfWork, utc_now
from cymba.fhir.registry import RESOURCE_TYPES
from service.http.services import Services
from tests.service.smart_app import BACK, VERIFIER, SmartApp, register

ONE = "launch/patient patient/Patient.r patient/Device.rs"


@pytest.fixture
def smart(app, engine):
    """A public app, which can keep no secret."""
    client_id, _ = register(engine)
    return SmartApp(app, client_id)


@pytest.fixture
def confidential(app, engine):
    client_id, secret = register(engine, "Clinic", confidential=True)
    return SmartApp(app, client_id, secret)


def read(app, given, path):
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    return app.test_client().get(f"/fhir/R4/{path}", headers=headers)


def is_open(app, given):
    """Whether an access token opens a record."""
    answered = read(app, given, "Patient")
    assert answered.status_code in {200, 401}
    return answered.status_code == 200


def test_an_app_is_let_in_reads_on_and_is_revoked(app, smart, person, client):
    asked = smart.ask()
    assert asked.status_code == 302
    place, _, query = asked.headers["Location"].partition("#")
    assert (place, query) == ("/app/allow", smart.query())
    shown = client.post("/v1/apps/requests", json={"query": query}, headers=person.headers)
    assert shown.json == {
        "name": "Heart Diary",
        "redirect_uri": BACK,
        "scopes": smart.scope.split(),
    }
    given = smart.tokens(person)
    assert given["patient"] == str(person.id)
    assert (given["scope"], given["token_type"]) == (smart.scope, "Bearer")
    assert given["expires_in"] == 3600
    again = smart.refresh(given["refresh_token"]).json
    assert again["refresh_token"] != given["refresh_token"]
    assert is_open(app, given)
    assert is_open(app, again)
    (share,) = client.get("/v1/shares", headers=person.headers).json["items"]
    assert (share["label"], share["app"]["client_id"]) == ("Heart Diary", smart.client_id)
    assert share["app"]["scopes"] == smart.scope.split()
    client.delete(f"/v1/shares/{share['id']}", headers=person.headers)
    assert not is_open(app, given)
    assert not is_open(app, again)
    assert smart.refresh(again["refresh_token"]).json["error"] == "invalid_grant"


def test_the_person_chooses_less_than_was_asked_for(smart, person, client):
    code = smart.let_in(person, scopes=["patient/Observation.rs"])
    given = smart.trade(code).json
    assert given["scope"] == "patient/Observation.rs"
    assert "refresh_token" not in given
    (share,) = client.get("/v1/shares", headers=person.headers).json["items"]
    ends = datetime.fromisoformat(share["expires_at"])
    assert ends <= utc_now() + app_grants.ACCESS_LIFETIME


def test_a_code_that_comes_again_ends_what_it_gave(app, smart, person):
    code = smart.let_in(person)
    first = smart.trade(code).json
    assert is_open(app, first)
    assert smart.trade(code).json["error"] == "invalid_grant"
    assert not is_open(app, first)
    assert smart.refresh(first["refresh_token"]).json["error"] == "invalid_grant"


def test_two_who_trade_in_one_code_at_once_get_tokens_once(app, smart, person):
    """And those end, since one of the two may be a thief."""
    code = smart.let_in(person)
    with ThreadPoolExecutor(4) as pool:
        others = [SmartApp(app, smart.client_id) for _ in range(4)]
        answers = list(pool.map(lambda one: one.trade(code), others))
    given = [one.json for one in answers if one.status_code == 200]
    assert len(given) == 1
    assert [one.json["error"] for one in answers if one.status_code != 200] == ["invalid_grant"] * 3
    assert not is_open(app, given[0])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": VERIFIER[:-1] + "A"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": "ü" * 50}, "invalid_request"),
        ({"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"code": "\0\ud83e"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": '"ü'}, "unsupported_grant_type"),
        ({"client_id": "somebody"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
    ],
)
def test_a_code_is_good_only_as_it_was_asked_for(app, smart, person, changes, error):
    code = smart.let_in(person)
    given = {"code": code, "grant_type": "authorization_code", "redirect_uri": BACK}
    form = {"client_id": smart.client_id, "code_verifier": VERIFIER} | given | changes
    form = {name: value.encode("utf-8", "surrogatepass") for name, value in form.items()}
    refused = smart.http.post("/oauth/token", data=form)
    assert refused.json["error"] == error
    assert refused.headers["Cache-Control"] == "no-store"
    # Who cannot use it cannot spend it either.
    assert is_open(app, smart.trade(code).json)


def test_a_code_ends_after_a_minute(smart, person, monkeypatch):
    code = smart.let_in(person)
    later = utc_now() + timedelta(seconds=61)
    monkeypatch.setattr(Services, "now", staticmethod(lambda: later))
    assert smart.trade(code).json["error"] == "invalid_grant"


def test_a_code_of_another_app_or_of_another_person(app, smart, confidential, make_person):
    ada, eve = make_person(), make_person()
    code = smart.let_in(ada)
    assert confidential.trade(code).json["error"] == "invalid_grant"
    given = smart.trade(smart.let_in(eve)).json
    assert given["patient"] == str(eve.id)
    assert smart.trade(code).json["patient"] == str(ada.id)
    for token in (given["access_token"], given["refresh_token"]):
        assert confidential.refresh(token).json["error"] == "invalid_grant"
        assert confidential.revoke(token).json["error"] == "invalid_grant"
    assert is_open(app, given)


def test_a_confidential_app_proves_itself(app, confidential, person):
    code = confidential.let_in(person)
    for guess in (None, "wrong", ""):
        refused = SmartApp(app, confidential.client_id, guess).trade(code)
        assert refused.json["error"] == "invalid_client"
    basic = (confidential.client_id, confidential.secret)
    form = {"code": code, "grant_type": "authorization_code", "redirect_uri": BACK}
    given = confidential.http.post(
        "/oauth/token", data=form | {"code_verifier": VERIFIER}, auth=basic
    ).json
    assert is_open(app, given)


@pytest.mark.parametrize("header", ["Basic \x00", "Basic ////", "Basic", "Basic 4pyT", "Bearer x"])
def test_a_header_that_cannot_be_read_is_an_error_of_oauth(smart, header):
    form = {"grant_type": "authorization_code"}
    refused = smart.http.post("/oauth/token", data=form, headers={"Authorization": header})
    assert refused.status_code in {400, 401}
    assert refused.json["error"] in {"invalid_client", "invalid_request"}


def test_a_refresh_gives_no_more_than_was_granted(smart, person):
    given = smart.tokens(person, scopes=["patient/Observation.rs", "offline_access"])
    wider = smart.refresh(given["refresh_token"], scope="patient/Patient.read")
    assert wider.json["error"] == "invalid_scope"
    less = smart.refresh(given["refresh_token"], scope="patient/Observation.rs").json
    assert less["scope"] == "patient/Observation.rs"
    assert smart.refresh(less["refresh_token"]).json["scope"] == given["scope"]


def test_only_an_app_without_a_secret_may_leave_its_id_out(app, smart, confidential, person):
    """As SMART's own client for JavaScript does."""
    for one, status in ((smart, 200), (confidential, 401)):
        token = one.tokens(person)["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        answered = app.test_client().post("/oauth/token", data=form)
        assert answered.status_code == status
    for token in ("", "made up"):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        assert app.test_client().post("/oauth/token", data=form).status_code == 401


def test_a_spent_refresh_token_ends_all_but_after_a_lost_answer(app, smart, person):
    first = smart.tokens(person)
    second = smart.refresh(first["refresh_token"]).json
    # The answer was lost: the same again gives the same successor.
    lost = smart.refresh(first["refresh_token"]).json
    assert lost["refresh_token"] == second["refresh_token"]
    third = smart.refresh(second["refresh_token"]).json
    assert is_open(app, third)
    assert smart.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert not is_open(app, third)
    assert smart.refresh(third["refresh_token"]).json["error"] == "invalid_grant"


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(app, smart, person):
    given = smart.tokens(person)
    assert smart.refresh(given["access_token"]).json["error"] == "invalid_grant"
    assert not is_open(app, {"access_token": given["refresh_token"]})
    own = person.headers["Authorization"].removeprefix("Bearer ")
    for forged in ("app_" + own, "app_", "app_e30.e30.", given["access_token"] + "x"):
        assert not is_open(app, {"access_token": forged})
        assert smart.refresh(forged).json["error"] == "invalid_grant"


def test_an_apps_token_opens_no_route_of_the_api(client, smart, person):
    given = smart.tokens(person)
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    for path in ("/v1/account", "/v1/sessions", "/v1/diary", "/v1/shares", "/v1/shares/current"):
        refused = client.get(path, headers=headers)
        assert refused.status_code in {401, 403}, path
    beside = person.headers | {"Cymba-Share": given["access_token"]}
    assert client.get("/v1/diary", headers=beside).status_code == 401
    refresh = {"refresh_token": given["refresh_token"]}
    assert client.post("/v1/auth/refresh", json=refresh).status_code in {401, 422}


def test_an_app_reads_the_types_that_it_was_let_in_for(app, smart, person, make_person, engine):
    given = smart.tokens(person, scopes=["patient/Patient.r", "launch/patient"], scope=ONE)
    patient = read(app, given, f"Patient/{given['patient']}")
    assert patient.json["id"] == str(person.id)
    assert "telecom" not in patient.json
    other = smart.tokens(make_person(), scopes=["patient/Device.rs"], scope=ONE)
    assert read(app, other, f"Patient/{person.id}").status_code == 403
    for path in ("Patient", "Device", f"Device/{uuid4()}"):
        refused = read(app, given, path)
        assert refused.status_code == 403, path
        assert refused.json["resourceType"] == "OperationOutcome"
    assert read(app, other, f"Device?patient={person.id}").json.get("entry", []) == []
    with UnitOfWork(engine) as session:
        looks = select(AuditEntry.action).where(
            AuditEntry.account_id == person.id, AuditEntry.action.like("%.read")
        )
        assert session.scalars(looks).all() == ["Patient.read"]


def test_of_the_whole_record_an_app_reads_what_it_was_let_in_for(app, smart, person, hold, engine):
    """And what it can be let in for is what there is."""
    assert set(app_scopes.RESOURCE_TYPES) == RESOURCE_TYPES.keys()
    hold(person)
    for scope, types in (("patient/*.rs", {"Patient", "Device"}), (ONE, {"Device"})):
        given = smart.tokens(person, scope=scope)
        whole = read(app, given, f"Patient/{person.id}/$everything").json
        found = {entry["resource"]["resourceType"] for entry in whole["entry"]}
        assert types == found & {"Patient", "Device"}
        assert types == found or scope == "patient/*.rs"
    with UnitOfWork(engine) as session:
        looks = session.scalars(
            select(AuditEntry.detail).where(AuditEntry.action == "record.read")
        ).all()
    assert [len(look["types"]) for look in looks] == [12, 1]


def test_an_app_gives_a_token_back(app, smart, person):
    for name in ("access_token", "refresh_token"):
        given = smart.tokens(person)
        assert smart.revoke(given[name], token_type_hint="made_up").status_code == 200
        assert not is_open(app, given)
        assert smart.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    assert smart.revoke("unknown").status_code == 200
    assert smart.revoke("").json["error"] == "invalid_request"


def test_a_removed_app_reads_no_more_and_asks_no_more(app, engine, smart, person):
    given, waiting = smart.tokens(person), smart.let_in(person)
    with UnitOfWork(engine) as session, session.begin():
        assert app_clients.remove(session, smart.client_id, now=utc_now()) == 2
    assert not is_open(app, given)
    for refused in (smart.trade(waiting), smart.refresh(given["refresh_token"])):
        assert refused.json["error"] == "invalid_client"
    assert smart.ask().status_code == 400


def test_signing_out_everywhere_else_ends_what_apps_hold(app, smart, person, client):
    given, waiting = smart.tokens(person), smart.let_in(person)
    client.delete("/v1/account/sign-ins", headers=person.headers)
    assert not is_open(app, given)
    assert smart.trade(waiting).json["error"] == "invalid_grant"


def test_an_erased_person_is_read_by_nobody(app, smart, person, client):
    given, waiting = smart.tokens(person), smart.let_in(person)
    client.delete("/v1/account", headers=person.headers | {"If-Match": "*"})
    assert not is_open(app, given)
    assert smart.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    assert smart.trade(waiting).json["error"] == "invalid_grant"


def test_the_person_reads_what_became_of_it(smart, person, engine, mails):
    given = smart.tokens(person)
    smart.refresh(given["refresh_token"])
    smart.revoke(given["refresh_token"])
    with UnitOfWork(engine) as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        (share,) = session.scalars(select(Share))
    assert [(row.actor_kind, row.action) for row in rows] == [
        ("person", "app.allowed"),
        ("share", "app.connected"),
        ("share", "app.gave_back"),
    ]
    assert {row.actor_id for row in rows[1:]} == {str(share.id)}
    assert [subject for _, subject, _ in mails()] == ["An app was let in"]


def test_it_is_described_where_clients_look(smart):
    page = {"Origin": "https://anywhere.example"}
    smart_document = smart.http.get("/fhir/R4/.well-known/smart-configuration", headers=page)
    described = smart_document.json
    assert "issuer" not in described
    assert described["token_endpoint"] == "http://localhost/oauth/token"
    assert described["code_challenge_methods_supported"] == ["S256"]
    assert {"launch-standalone", "permission-v2"} <= set(described["capabilities"])
    server = smart.http.get("/.well-known/oauth-authorization-server", headers=page)
    assert server.json["issuer"] == "http://localhost"
    assert server.json["authorization_endpoint"] == described["authorization_endpoint"]
    for answered in (smart_document, server, smart.http.post("/oauth/token", headers=page)):
        assert answered.headers["Access-Control-Allow-Origin"] == "*"
    # What a browser is sent to is read by no script.
    assert "Access-Control-Allow-Origin" not in smart.http.get("/oauth/authorize").headers
