"""What an MQTT broker asks: may this client connect, and may it publish or subscribe here?

Three brokers ask in their own ways, which the request shows:

* VerneMQ's webhooks name themselves in the header `vernemq-hook`, and are answered 200 with
  `{"result": "ok"}` or `{"result": {"error": "not_allowed"}}`.
  docs.vernemq.com, Webhooks
* EMQX sends the body that its configuration gives; with an `action` in it (`connect` for the
  authenticator, `${action}` for the authorizer) it is answered 200 with
  `{"result": "allow" | "deny"}`. docs.emqx.com, Use HTTP Service
* mosquitto-go-auth, and all others, are answered by the status: 200 or 403.
  github.com/iegomez/mosquitto-go-auth, HTTP
"""

from hmac import compare_digest
from typing import Any

import marshmallow as ma
import msgspec
import structlog
from flask import Response, g, request
from sqlalchemy.orm import Session

from cymba.broker_address import BrokerAddress
from cymba.devices.broker_rights import TopicAccess, is_theirs, may, may_connect
from cymba.devices.cells import elsewhere
from cymba.errors import Forbidden, Unauthenticated
from service.http.answers import MEDIA_TYPE, answer
from service.http.fields import Schema, Text, validation_failed
from service.http.json_bodies import InvalidJson, whole_body
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("broker", "What an MQTT broker asks before it lets a client do something")

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024  # VerneMQ sends the payload along
_TEXT = {"type": ["string", "null"]}


class AskedTopic(msgspec.Struct):
    topic: str


class BrokerQuestion(msgspec.Struct):
    """The fields that matter, of all three brokers; others are ignored."""

    username: str | None = None
    password: str | None = None
    clientid: str | None = None  # EMQX, mosquitto-go-auth
    client_id: str | None = None  # VerneMQ
    action: str | None = None  # EMQX: connect, publish, subscribe
    acc: int | str | None = None  # mosquitto-go-auth: 1 read, 2 write, 3 both, 4 subscribe
    topic: str | None = None
    topics: list[AskedTopic] | None = None  # VerneMQ, of a subscription


class BrokerQuerySchema(Schema):
    secret = Text(
        load_default=None,
        validate=ma.validate.Length(max=500),
        metadata={"description": "In place of the header, for brokers that can send none"},
    )

    cell = Text(
        load_default=None,
        validate=ma.validate.Length(max=31),
        metadata={"description": "Of the broker that asks; without it that of `CYMBA_CELL`"},
    )


class BrokerVerdictSchema(Schema):
    """The verdict, in the form of the broker that asks."""

    class Meta:
        unknown = ma.INCLUDE


_AUTH_CONTENT = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "properties": dict.fromkeys(
                ("username", "password", "clientid", "client_id", "action"), _TEXT
            ),
        },
        "example": {
            "username": "ey5f0c4e0b7c1d2a39",
            "password": "…",
            "clientid": "ey5f0c4e0b7c1d2a39",
            "action": "connect",
        },
    }
}
_ACL_CONTENT = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "properties": dict.fromkeys(
                ("username", "clientid", "client_id", "topic", "action"), _TEXT
            )
            | {
                "acc": {"type": ["integer", "string", "null"]},
                "topics": {
                    "type": ["array", "null"],
                    "items": {
                        "type": "object",
                        "properties": {"topic": {"type": "string"}},
                        "required": ["topic"],
                    },
                },
            },
        },
        "example": {
            "username": "ey5f0c4e0b7c1d2a39",
            "topic": "cymba/v1/ey5f0c4e0b7c1d2a39/up/frame",
            "action": "publish",
        },
    }
}
_ALLOWED = {"result": "allow", "is_superuser": False}


def require_broker() -> None:
    """Require `CYMBA_BROKER_HTTP_SECRET`.

    Raises:
        Forbidden: no such secret is set, so no broker is expected to ask.
        Unauthenticated: the secret is missing or wrong.
    """
    known = services().settings.broker_http_secret
    if known is None:
        raise Forbidden("No broker asks here: CYMBA_BROKER_HTTP_SECRET is not set.")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.args.get("secret", "")
    if not compare_digest(known.encode(), given.strip().encode(errors="surrogatepass")):
        raise Unauthenticated("This needs the secret that brokers share with this server.")
    g.by_broker = True


@blp.post("/v1/broker/auth")
@blp.guard(require_broker, "broker", "broker_query")
@blp.query(BrokerQuerySchema)
@blp.raw_body(_AUTH_CONTENT, max_bytes=MAX_BODY_BYTES)
@blp.answers(200, BrokerVerdictSchema, example=_ALLOWED)
@blp.problems("forbidden")
def authenticate_client(query: dict[str, Any]) -> Response:
    """May this client connect to the broker?

    Devices connect with their id and secret, bridges with the password in `CYMBA_BROKER_URL`; the
    client id must be the user name. For EMQX, VerneMQ and mosquitto-go-auth.
    """
    asked = _question()
    user, client_id = asked.username or "", asked.clientid or asked.client_id or ""
    cell = query["cell"] or services().settings.cell
    with transaction() as session:
        allowed = "\0" not in user and may_connect(
            session,
            user,
            asked.password or "",
            client_id,
            bridge_secret=BrokerAddress.of(services().settings).password,
            cell=cell,
        )
        away = {} if allowed or "\0" in user else elsewhere(session, [user], cell)
    if away:
        log.warning("a device is at another cell's broker", device=user, cell=cell, its=away[user])
        return _verdict(asked, allowed, f"It belongs to the broker of cell {away[user]!r}.")
    return _verdict(asked, allowed)


@blp.post("/v1/broker/acl")
@blp.guard(require_broker, "broker", "broker_query")
@blp.query(BrokerQuerySchema)
@blp.raw_body(_ACL_CONTENT, max_bytes=MAX_BODY_BYTES)
@blp.answers(200, BrokerVerdictSchema, example=_ALLOWED)
@blp.problems("forbidden")
def authorize_client(query: dict[str, Any]) -> Response:
    """May this client publish or subscribe to this topic?

    For EMQX, VerneMQ and mosquitto-go-auth; a question in any other form is denied.
    """
    asked = _question()
    with transaction() as session:
        allowed = _is_allowed(session, asked, query["cell"] or services().settings.cell)
    user, topic = asked.username or "", asked.topic or ""
    if TopicAccess.PUBLISH in _accesses(asked) and not is_theirs(user, TopicAccess.PUBLISH, topic):
        services().metrics.denied_publishes.inc()
        services().denied_topics.log(user, topic)
    return _verdict(asked, allowed)


def _is_allowed(session: Session, asked: BrokerQuestion, cell: str) -> bool:
    user = asked.username or ""
    topics = [one.topic for one in asked.topics or ()] or [asked.topic or ""]
    wanted = _accesses(asked)
    return (
        "\0" not in user
        and bool(wanted)
        and all(
            may(session, user, access, topic, cell=cell) for access in wanted for topic in topics
        )
    )


def _accesses(asked: BrokerQuestion) -> list[TopicAccess]:
    """What the client wants to do; empty if that is unclear."""
    hook = request.headers.get("vernemq-hook", "")
    match hook.removesuffix("_m5") or asked.action or str(asked.acc):
        case "auth_on_publish" | "publish" | "2":
            return [TopicAccess.PUBLISH]
        case "auth_on_subscribe" | "subscribe" | "1" | "4":
            return [TopicAccess.SUBSCRIBE]
        case "3":
            return [TopicAccess.PUBLISH, TopicAccess.SUBSCRIBE]
        case _:
            return []


def _question() -> BrokerQuestion:
    try:
        return msgspec.json.decode(whole_body(request), type=BrokerQuestion)
    except msgspec.ValidationError as error:
        raise validation_failed({"json": [str(error)]}) from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidJson("The body is not JSON.") from None


def _verdict(asked: BrokerQuestion, allowed: bool, why: str = "Denied.") -> Response:
    if "vernemq-hook" in request.headers:
        return answer({"result": "ok" if allowed else {"error": "not_allowed"}})
    if asked.action is not None:
        return answer(_ALLOWED if allowed else {"result": "deny"})
    if not allowed:
        raise Forbidden(why)
    return answer({"Ok": True, "Error": ""})
