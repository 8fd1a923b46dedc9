"""A client that holds every answer to the OpenAPI document, and people to ask with."""

import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import jsonschema
import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, Row, select
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from cymba.accounts.profile import enter
from cymba.accounts.sign_up import make_code
from cymba.accounts.tables import OutgoingMail
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.provisioning import provision
from cymba.settings import Settings
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from service import create_app
from service.http.rounding import DECIMALS
from service.http.services import Services
from tests.stimulation.worker_steps import summarise_due

FORMATS = jsonschema.FormatChecker(formats=["date", "uuid"])
SECRET_KEY = "a secret of enough characters to sign with"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@FORMATS.checks("date-time")
def is_utc_instant(value: object) -> bool:
    """RFC 3339 in UTC with six digits of a second, as this API promises."""
    return not isinstance(value, str) or INSTANT.fullmatch(value) is not None


READ: dict[object, dict[str, Any]] = {}
"""Documents by the routes of their application: to read one takes more time than some tests."""


def read_document(app: Flask) -> dict[str, Any]:
    api: dict[str, Any] = json.loads(app.test_client().get("/v1/openapi.json").data)
    parts = api["components"]
    for schema in parts["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    for answer in parts["responses"].values():
        for media in answer["content"].values():
            media["examples"] = {code: parts["examples"][code] for code in media["examples"]}
    for item in api["paths"].values():
        for operation in (held for held in item.values() if isinstance(held, dict)):
            for status, answer in operation["responses"].items():
                name = answer.get("$ref", "").rpartition("/")[2]
                operation["responses"][status] = parts["responses"].get(name, answer)
    return api


class CheckedDocument:
    """The application's own document, to check answers against.

    It is stricter than what apps read: an answer must have no member that the document does not
    name. Answers that it writes once are put back where they are referred to.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        if app.url_map not in READ:
            READ[app.url_map] = read_document(app)
        self.api = READ[app.url_map]

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        adapter = self.app.url_map.bind("")
        if not adapter.test(path, method):
            return None
        rule, _ = adapter.match(path, method, return_rule=True)
        template = rule.rule
        for argument in rule.arguments:
            before, _, after = template.partition(f":{argument}>")
            template = before[: before.rindex("<")] + "{" + argument + "}" + after
        operation: dict[str, Any] = self.api["paths"][template][method.lower()]
        return operation

    def check(self, response: TestResponse) -> None:
        """Fail unless the document describes this answer."""
        assert response.headers["X-Request-Id"]
        request = response.request
        operation = self.operation(request.method, request.path)
        if operation is None:  # no such route or method: a problem all the same
            assert response.mimetype == "application/problem+json"
            self._check_body(response, {"$ref": "#/components/schemas/Problem"})
            return
        described = operation["responses"].get(str(response.status_code))
        assert described, f"{request.method} {request.path} answers {response.status_code}"
        for name in described.get("headers", {}):
            assert name in response.headers, f"{name} is missing"
        if response.status_code == 304 or request.method == "HEAD":
            return
        content = described.get("content")
        if not content:
            assert response.data == b""
            return
        media = {key.partition(";")[0]: value for key, value in content.items()}
        assert response.mimetype in media, f"{response.mimetype} is not described"
        if response.mimetype.endswith("json"):
            self._check_body(response, media[response.mimetype]["schema"])

    def validate(self, value: Any, schema: dict[str, Any]) -> None:
        whole = {**schema, "components": self.api["components"]}
        jsonschema.Draft202012Validator(whole, format_checker=FORMATS).validate(value)

    def _check_body(self, response: TestResponse, schema: dict[str, Any]) -> None:
        body = json.loads(response.data)
        self.validate(body, schema)
        check_rounded(body)


def check_rounded(value: Any, name: str = "") -> None:
    """Fail where a number has more decimals than it can mean."""
    match value:
        case dict():
            for key, held in value.items():
                check_rounded(held, key)
        case list():
            for held in value:
                check_rounded(held, name)
        case float() if name in DECIMALS:
            assert value == round(value, DECIMALS[name]), f"{name} is not rounded: {value}"


class CheckedClient(FlaskClient):
    """Every answer that a test receives must be one that the document describes."""

    document: CheckedDocument

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        if response.mimetype != "text/event-stream":  # which never ends: its own tests read it
            self.document.check(response)
        return response


def sign_up(client: FlaskClient, given: Mapping[str, Any]) -> TestResponse:
    """Make an account, as with the code from the mail."""
    key = Services.of(client.application).sign_up_key
    code = make_code(key, given["email"], utc_now())
    return client.post("/v1/accounts", json=dict(given) | {"code": code})


def bearer(tokens: Mapping[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def code_in(body: str) -> str:
    """The code that a mail brings."""
    (code,) = re.findall(r"^    (\S+)$", body, re.MULTILINE)
    return str(code)


@pytest.fixture
def mails(engine: Engine) -> Callable[[], Sequence[Row[str, str, str]]]:
    """Every mail that waits or was sent, the first one first."""
    shown = (OutgoingMail.recipient, OutgoingMail.subject, OutgoingMail.body)

    def read() -> Sequence[Row[str, str, str]]:
        with UnitOfWork(engine) as session:
            return session.execute(select(*shown).order_by(OutgoingMail.created_at)).all()

    return read


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, secret_key=SECRET_KEY)


ROUTED: dict[tuple[object, ...], Flask] = {}
"""Applications by the settings that their routes and document depend on."""


def app_with(settings: Settings, engine: Engine) -> Flask:
    """An application of a test's own. The routes and the document are made once: they are the same
    in all, and take more time than most tests."""
    depends_on = (settings.public_url, settings.trusted_proxies)
    if depends_on not in ROUTED:
        ROUTED[depends_on] = create_app(settings, engine)
    app = copy(ROUTED[depends_on])
    app.extensions = app.extensions | Services.make(settings, engine).attach()
    return app


@pytest.fixture
def app(settings: Settings, engine: Engine) -> Flask:
    return app_with(settings, engine)


@pytest.fixture
def document(app: Flask) -> CheckedDocument:
    return CheckedDocument(app)


@pytest.fixture
def client(app: Flask, document: CheckedDocument) -> FlaskClient:
    checked = CheckedClient(app, app.response_class)
    checked.document = document
    return checked


MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
PROGRAMME = {
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 2000,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
}


class Worn:
    """A device that somebody holds, writing one session; what it sends is stored at once."""

    STORE = 7

    def __init__(
        self, engine: Engine, device_id: str, started_at: datetime, flash: Counter[str]
    ) -> None:
        self.engine = engine
        self.device_id = device_id
        self.started_at = started_at
        self.flash = flash  # each device's latest seq: it goes on from session to session
        self.first_seq = flash[device_id] + 1
        self.sid = uuid4()
        self.boot = int(started_at.timestamp()) % 2**31  # one for each session, in their order
        self.up = 60_000

    @property
    def id(self) -> str:
        return str(SessionKey(self.device_id, self.sid).id)

    def start(self) -> "Worn":
        return self.send(self.frame("start", programme=PROGRAMME))

    def samples(self, n: int = 10, **columns: list[int | None]) -> "Worn":
        return self.send(self.samples_frame(n, **columns))

    def samples_frame(self, n: int = 10, **columns: list[int | None]) -> dict[str, Any]:
        c = columns or {"amplitude_ua": [2000] * n, "heart_rate_bpm": [70] * n}
        frame = self.frame("samples", dt=1000, n=n, c=c)
        self.up += n * 1000
        return frame

    def event(self, name: str) -> "Worn":
        return self.send(self.frame("event", event={"name": name}))

    def end(self, reason: str = "completed") -> "Worn":
        frame = self.frame("end", reason=reason, first_seq=self.first_seq)
        return self.send({**frame, "last_seq": frame["seq"]})

    def frame(self, kind: str, **content: Any) -> dict[str, Any]:
        self.flash[self.device_id] += 1
        seq = self.flash[self.device_id]
        key = {"v": 1, "store": self.STORE, "seq": seq, "boot": self.boot}
        return {**key, "sid": str(self.sid), "kind": kind, "up": self.up, **content}

    def send(self, *frames: dict[str, Any]) -> "Worn":
        payloads = [json.dumps({**frame, "sent": self.up}).encode() for frame in frames]
        with UnitOfWork(self.engine) as session, session.begin():
            ingest(session, [Delivery(self.device_id, p, self.now, True) for p in payloads])
        return self

    def sum_up(self) -> "Worn":
        """What the keeper does."""
        with UnitOfWork(self.engine) as session, session.begin():
            summarise_due(session, now=self.now)
        return self

    @property
    def now(self) -> datetime:
        return self.started_at + timedelta(milliseconds=self.up - 60_000)


@pytest.fixture
def hold(engine: Engine) -> Callable[..., str]:
    """Gives a person a new device; returns its id."""

    def claim(person: "ApiUser", *, model: str = "ear_cymba") -> str:
        with UnitOfWork(engine) as session, session.begin():
            made = next(provision(session, model))
            long_ago = MORNING - timedelta(days=400)
            outcome = claiming.claim(session, person.id, made.serial, made.claim_code, long_ago)
            assert isinstance(outcome, claiming.Claimed)
            return made.device_id

    return claim


@pytest.fixture
def wear(engine: Engine, hold: Callable[..., str]) -> Callable[..., Worn]:
    """Begins a session of a person, on a device of their own if none is given."""

    flash: Counter[str] = Counter()

    def begin(person: "ApiUser", *, device_id: str | None = None, at: datetime = MORNING) -> Worn:
        return Worn(engine, device_id or hold(person), at, flash).start()

    return begin


@pytest.fixture
def broker_port() -> Iterator[int]:
    """Something that takes connections, as a broker does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def ready_app(settings: Settings, engine: Engine, broker_port: int) -> Flask:
    """An application whose every part is there."""
    url = f"mqtt://127.0.0.1:{broker_port}"
    return app_with(msgspec.structs.replace(settings, broker_url=url), engine)


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serves an application on a free loopback port, and gives its address."""
    with ExitStack() as stack:

        def start(app: Flask) -> str:
            server = make_server("127.0.0.1", 0, app, threaded=True)
            thread = Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.port}"

        yield start


@dataclass(frozen=True)
class ApiUser:
    """Someone signed in, without the cost of a password."""

    id: Any
    email: str
    headers: dict[str, str]


@pytest.fixture
def make_person(app: Flask, engine: Engine) -> Callable[..., ApiUser]:
    edge: Services = app.extensions["cymba"]

    def make(*, time_zone: str = "UTC") -> ApiUser:
        with UnitOfWork(engine) as session, session.begin():
            account = enter(session, f"{uuid4().hex}@example.org", time_zone=time_zone)
            pair = sign_in(session, edge.signer, account.id, utc_now())
            headers = {"Authorization": f"Bearer {pair.access_token}"}
            return ApiUser(account.id, account.email, headers)

    return make


@pytest.fixture
def person(make_person: Callable[..., ApiUser]) -> ApiUser:
    return make_person()
