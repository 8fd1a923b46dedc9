"""Nobody sees or touches another's data, by any route that the document has.

The routes are read from the document, so one that is added is tried too; a path parameter that
this test does not know fails it until somebody says what of Ada's it stands for.
"""

import json
import zipfile
from datetime import timedelta
from io import BytesIO
from uuid import uuid4

import msgspec
import pytest

from cymba.accounts import consent
from cymba.accounts.identities import identity_id
from cymba.accounts.tables import ProviderIdentity
from cymba.database import UnitOfWork, utc_now
from cymba.devices import contraindications
from cymba.devices.contraindications import must_be_answered
from cymba.devices.messages import Programme
from cymba.devices.models import MODELS
from cymba.devices.programme import Wanted, set_programme
from cymba.devices.provisioning import reissue_secret
from cymba.devices.screening import answer
from cymba.insights import findings
from cymba.insights.exposures import EXPOSURES
from service.http.services import Services
from tests.service.conftest import PROGRAMME

METHODS = {"get", "put", "post", "patch", "delete"}
MARK = "of Ada alone"
# Path parameters that name an entry of a public catalogue, or a place in something that another
# parameter names: nobody's identifiers.
PUBLIC_NAMES = {
    "exposure": EXPOSURES[0].name,
    "outcome": "pain_now",
    "item": "headache",
    "symptom": "pain_now",
    "picture": "timeline",
    "provider": "google",
    "number": "0",
    "piece": "0",
    "kind": "heart_rate",
    "purpose": "research",  # Eve is to keep hers for the insights
}
MADE_BY_APPS = {
    "/v1/diary/{entry_id}",
    "/v1/reminders/{reminder_id}",
    "/v1/remarks/{remark_id}",
}
WRITES_A_SESSION = ("put", "/v1/sessions/{session_id}")
FELT = {"pain_now": 4, "headache": {"severity": "mild", "bothersome": False}}


def example_body(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return next((media["example"] for media in content.values()), None)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    """So that what depends on the time is the same before and after."""
    moment = utc_now() + timedelta(seconds=30)
    monkeypatch.setattr(Services, "now", staticmethod(lambda: moment))


@pytest.fixture
def routes(document):
    """(method, path, operation) of everything that a person's token opens."""
    token = {"bearer": []}
    return [
        (method, path, operation)
        for path, item in document.api["paths"].items()
        for method, operation in item.items()
        if method in METHODS and token in operation.get("security", [token])
    ]


@pytest.fixture
def ada(make_person):
    return make_person()


@pytest.fixture
def eve(make_person, wear, engine):
    person = make_person()
    wear(person).samples().end().sum_up()
    agree_to_insights(engine, person)
    return person


def agree_to_insights(engine, person):
    with UnitOfWork(engine) as session, session.begin():
        consent.give(session, person.id, "insights", version="1/en", now=utc_now())


@pytest.fixture
def begin_trial(app, client, engine):
    """What a person can only have after screening, and with a programme on the device."""

    def begin(person, device_id):
        model, now = MODELS["ear_cymba"], utc_now()
        agree_to_insights(engine, person)
        with UnitOfWork(engine) as session, session.begin():
            answers = {question.name: "no" for question in must_be_answered(model.sites)}
            version = str(contraindications.version_in("en"))
            answer(session, person.id, model, answers, text_version=version, now=now)  # type: ignore[arg-type]
            programme = msgspec.convert(PROGRAMME | {"ramp_ua_per_s": 500}, Programme)
            key = app.extensions["cymba"].programme_key
            wanted = Wanted(programme)
            set_programme(session, key, person.id, device_id, wanted, if_version=0, now=now)
        body = {"device_id": device_id, "outcome": "pain_now", "pairs": 14, "block_days": 3}
        response = client.post("/v1/experiments", json=body, headers=person.headers)
        assert response.status_code == 201
        return response.json["id"]

    return begin


@pytest.fixture
def of_ada(client, ada, wear, document, begin_trial, engine):
    """A thing of Ada's for each path parameter, and everything that would give it away."""
    worn = wear(ada).samples().event("lead_off").end().sum_up()
    guarded = {**ada.headers, "If-Match": "*"}

    def put(path, **changes):
        example = example_body(document.api["paths"][path]["put"])
        made = str(uuid4())
        name = path.rpartition("{")[2].rstrip("}")
        body = {**example, **changes}
        response = client.put(path.replace("{" + name + "}", made), json=body, headers=ada.headers)
        assert response.status_code in {200, 201}
        return made

    with UnitOfWork(engine) as opened, opened.begin():
        findings.refresh(opened, ada.id, now=utc_now())  # so that there is a pair to be seen
    session = f"/v1/sessions/{worn.id}"
    assert client.patch(session, json={"note": MARK}, headers=guarded).status_code == 200
    device = f"/v1/devices/{worn.device_id}"
    assert client.patch(device, json={"name": MARK}, headers=guarded).status_code == 200
    return {
        "session_id": worn.id,
        "device_id": worn.device_id,
        "entry_id": put("/v1/diary/{entry_id}", note=MARK, items=FELT, session_id=worn.id),
        "reminder_id": put("/v1/reminders/{reminder_id}"),
        "remark_id": put("/v1/remarks/{remark_id}", note=MARK),
        "experiment_id": begin_trial(ada, worn.device_id),
        "share_id": share_of(client, ada),
        "identity_id": identity_of(engine, ada),
        "sign_in_id": client.get("/v1/account/sign-ins", headers=ada.headers).json["items"][0][
            "id"
        ],
        "import_id": client.post(
            "/v1/imports", json={"bytes": 9, "name": MARK}, headers=ada.headers
        ).json["id"],
        **PUBLIC_NAMES,
    }


def text_of(response):
    """All of an answer; an archive unpacked."""
    if response.mimetype == "application/zip":
        with zipfile.ZipFile(BytesIO(response.data)) as archive:
            return "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
    return response.data.decode("latin-1")


def share_of(client, ada):
    expires_at = (utc_now() + timedelta(days=7)).isoformat()
    wanted = {"label": MARK, "scopes": ["diary"], "expires_at": expires_at}
    return client.post("/v1/shares", json=wanted, headers=ada.headers).json["id"]


def identity_of(engine, ada):
    identity = ProviderIdentity(issuer="https://id.example.org", subject=MARK, account_id=ada.id)
    with UnitOfWork(engine) as session, session.begin():
        session.add(identity)
        return str(identity_id(identity))


def names_something(path):
    """Whether the path holds an identifier of somebody's thing."""
    held = {part.strip("{}") for part in path.split("/") if part[:1] == "{"}
    return bool(held - PUBLIC_NAMES.keys())


def filled(path, values):
    return path.format_map(values)


def everything(client, person, routes, values):
    """All that a person can read, without what streams and is another each time."""
    answers = {}
    headers = {**person.headers, "X-Request-Id": "the-same-each-time"}
    for method, path, _ in routes:
        if method == "get" and not path.endswith(("/live", "/export")):
            response = client.get(filled(path, values), headers=headers)
            answers[path] = (response.status_code, response.data)
    return answers


def test_every_path_parameter_is_known(routes, of_ada):
    named = {
        part.strip("{}") for _, path, _ in routes for part in path.split("/") if part[:1] == "{"
    }
    assert named <= of_ada.keys()


def test_no_identifier_of_one_opens_anything_for_the_other(client, routes, ada, eve, of_ada):
    before = everything(client, ada, routes, of_ada)
    for path, (status, _) in before.items():
        assert status == 200, path  # there is something of hers to be seen
    secrets = [MARK, ada.email, str(ada.id), of_ada["session_id"], of_ada["device_id"]]
    tried = 0
    for method, path, operation in routes:
        if path == "/v1/account" and method == "delete":
            continue  # it names nobody: its own test erases
        where = filled(path, of_ada)
        query = {
            one["name"]: of_ada[one["name"]]
            for one in operation["parameters"]
            if one["in"] == "query" and one["name"] in of_ada
        }
        response = client.open(
            where,
            method=method.upper(),
            json=example_body(operation),
            query_string=query,
            headers={**eve.headers, "If-Match": "*"},
        )
        label = f"{method.upper()} {path} answered {response.status_code}"
        assert not any(secret in text_of(response) for secret in secrets), label
        if names_something(path):
            # An id that the app makes is the app's own: the same one names something else to Eve.
            made_own = method == "put" and response.status_code in {200, 201}
            again = path in MADE_BY_APPS or (method, path) == WRITES_A_SESSION
            assert response.status_code == 404 or made_own or again, label
            tried += 1
        elif "{exposure}" in path:
            assert response.status_code == 404, label  # Eve's own, of which there are none
    assert tried >= 20
    assert everything(client, ada, routes, of_ada) == before


def test_a_token_is_needed_everywhere(client, routes, of_ada):
    for method, path, operation in routes:
        response = client.open(
            filled(path, of_ada), method=method.upper(), json=example_body(operation)
        )
        assert response.status_code == 401, f"{method} {path}"


def test_no_device_asks_for_another(client, document, engine, ada, hold, wear):
    """By any route that a device's own secret opens, with whatever body it takes."""
    worn, other = wear(ada), hold(ada)
    with UnitOfWork(engine) as session, session.begin():
        secret = reissue_secret(session, other)
    before = client.get(f"/v1/devices/{worn.device_id}", headers=ada.headers).data
    opened = [
        (method.upper(), path, operation)
        for path, item in document.api["paths"].items()
        for method, operation in item.items()
        if method in METHODS and {"device": []} in operation.get("security", [])
    ]
    assert len(opened) == 3
    for method, path, operation in opened:
        asked = {"method": method, "json": example_body(operation)}
        for device_id, given, status in (
            (worn.device_id, (other, secret), 404),
            ("ey00000000000000", (other, secret), 404),
            (worn.device_id, (worn.device_id, secret), 401),
            (other, (other, secret + "x"), 401),
            (other, None, 401),
        ):
            response = client.open(path.format(device_id=device_id), auth=given, **asked)
            assert response.status_code == status, f"{method} {path}"
            assert worn.id not in response.text
        answered = client.open(path.format(device_id=other), auth=(other, secret), **asked)
        assert answered.status_code in {200, 204}, f"{method} {path}"
    assert client.get(f"/v1/devices/{worn.device_id}", headers=ada.headers).data == before


def test_the_sync_of_one_never_tells_of_the_other(client, ada, eve, of_ada):
    pushed = {
        "operations": [
            {
                "id": str(uuid4()),
                "kind": "diary-entry",
                "action": "delete",
                "entity_id": of_ada["entry_id"],
                "base_version": 1,
                "fields": {},
            }
        ]
    }
    cursor = client.get("/v1/sync", headers=ada.headers).json["next_cursor"]
    client.post("/v1/sync", json=pushed, headers=eve.headers)
    told = client.get("/v1/sync", headers=eve.headers)
    things = [value for name, value in of_ada.items() if name not in PUBLIC_NAMES]
    assert not any(value in told.text for value in (*things, MARK))
    mine = client.get("/v1/sync", headers=ada.headers).json
    assert [entry["id"] for entry in mine["diary_entries"]] == [of_ada["entry_id"]]
    stolen = client.get("/v1/sync", query_string={"cursor": cursor}, headers=eve.headers)
    assert stolen.status_code == 422


def test_the_former_holder_keeps_what_was_theirs_and_sees_no_more(client, ada, eve, of_ada):
    handed = client.post(f"/v1/devices/{of_ada['device_id']}/transfer", headers=ada.headers)
    serial = client.get(f"/v1/devices/{of_ada['device_id']}", headers=ada.headers).json["serial"]
    claim = {"serial": serial, "code": handed.json["claim_code"]}
    assert client.post("/v1/devices/claim", json=claim, headers=eve.headers).status_code == 201
    path = f"/v1/sessions/{of_ada['session_id']}"
    assert client.get(path, headers=ada.headers).status_code == 200
    assert client.get(path, headers=eve.headers).status_code == 404
    held = f"/v1/devices/{of_ada['device_id']}"
    assert client.get(held, headers=ada.headers).status_code == 404
    narrowed = {"device_id": of_ada["device_id"]}
    theirs = client.get("/v1/sessions", query_string=narrowed, headers=eve.headers)
    assert json.loads(theirs.data)["items"] == []
