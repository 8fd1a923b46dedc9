"""What brokers ask: EMQX, VerneMQ and mosquitto-go-auth, each in its own documented way."""

import msgspec
import pytest
from structlog.testing import capture_logs

from cymba.database import UnitOfWork, utc_now
from cymba.devices import cells
from cymba.devices.provisioning import provision, revoke
from service import create_app
from tests.service.conftest import CheckedClient, CheckedDocument

SECRET = "what the brokers know"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
def client(settings, engine):
    changed = msgspec.structs.replace(
        settings,
        broker_http_secret=SECRET,
        broker_url="mqtt://bridge:the%20bridge's@127.0.0.1:1883",
    )
    app = create_app(changed, engine)
    checked = CheckedClient(app, app.response_class)
    checked.document = CheckedDocument(app)
    return checked


@pytest.fixture
def device(engine):
    with UnitOfWork(engine) as session, session.begin():
        return next(provision(session, "ear_cymba"))


def emqx(client, path, **body):
    response = client.post(path, json=body, headers=BEARER)
    assert response.status_code == 200
    return response.json["result"] == "allow"


def vernemq(client, path, hook, **body):
    body = {"mountpoint": "", "qos": 1, "retain": False, "properties": {}} | body
    headers = {"vernemq-hook": hook}
    response = client.post(f"{path}?secret={SECRET}", json=body, headers=headers)
    assert response.status_code == 200
    assert response.json["result"] in ("ok", {"error": "not_allowed"})
    return response.json["result"] == "ok"


def go_auth(client, path, **body):
    response = client.post(f"{path}?secret={SECRET}", json=body)
    if response.status_code == 200:
        assert response.json == {"Ok": True, "Error": ""}
    else:
        assert response.status_code == 403
    return response.status_code == 200


def enters(client, user, password, client_id, broker):
    known = {"username": user, "password": password}
    if broker == "emqx":
        return emqx(client, "/v1/broker/auth", **known, clientid=client_id, action="connect")
    if broker == "go-auth":
        return go_auth(client, "/v1/broker/auth", **known, clientid=client_id)
    more = {"peer_addr": "127.0.0.1", "peer_port": 8888, "clean_session": False}
    hook = {"vernemq": "auth_on_register", "vernemq-5": "auth_on_register_m5"}[broker]
    return vernemq(client, "/v1/broker/auth", hook, **known, client_id=client_id, **more)


def may(client, user, access, topic, broker):
    if broker == "emqx":
        return emqx(client, "/v1/broker/acl", username=user, topic=topic, action=access)
    if broker == "go-auth":
        accs = {"publish": [2], "subscribe": [1, 4, "4"]}[access]
        asked = {
            go_auth(client, "/v1/broker/acl", username=user, clientid=user, topic=topic, acc=acc)
            for acc in accs  # type: ignore[attr-defined]
        }
        assert len(asked) == 1
        return asked.pop()
    suffix = "_m5" if broker == "vernemq-5" else ""
    body = {"username": user, "client_id": user}
    if access == "publish":
        body |= {"topic": topic, "payload": "aGVsbG8="}
    else:
        body |= {"topics": [{"topic": topic, "qos": 1}]}
    return vernemq(client, "/v1/broker/acl", f"auth_on_{access}{suffix}", **body)


BROKERS = pytest.mark.parametrize("broker", ["emqx", "vernemq", "vernemq-5", "go-auth"])


@BROKERS
def test_a_device_comes_in_by_its_secret_under_its_own_name(client, engine, device, broker):
    name, secret = device.device_id, device.secret
    assert enters(client, name, secret, name, broker)
    assert not enters(client, name, secret + "x", name, broker)
    assert not enters(client, name, "", name, broker)
    assert not enters(client, name, secret, "bridge-0", broker)  # it would put the bridge out
    assert not enters(client, name, secret, "", broker)
    assert not enters(client, "ey00000000000000", secret, "ey00000000000000", broker)
    assert not enters(client, None, None, None, broker)
    assert not enters(client, f"{name}\0", secret, f"{name}\0", broker)
    with UnitOfWork(engine) as session, session.begin():
        revoke(session, name)
    assert not enters(client, name, secret, name, broker)


@BROKERS
def test_a_bridge_comes_in_by_its_password(client, device, broker):
    assert enters(client, "bridge-0", "the bridge's", "bridge-0", broker)
    assert not enters(client, "bridge-0", device.secret, "bridge-0", broker)
    assert not enters(client, "bridge-0", "the bridge's", "bridge-1", broker)
    assert not enters(client, "bridge", "the bridge's", "bridge", broker)


@BROKERS
def test_a_device_speaks_and_hears_of_itself_alone(client, device, broker):
    me = device.device_id
    for subject in ("frame", "state", "time", "presence"):
        assert may(client, me, "publish", f"cymba/v1/{me}/up/{subject}", broker)
        assert not may(client, me, "subscribe", f"cymba/v1/{me}/up/{subject}", broker)
        assert not may(client, me, "publish", f"cymba/v1/ey00000000000000/up/{subject}", broker)
    for subject in ("ack", "desired", "time", "#", "+"):
        assert may(client, me, "subscribe", f"cymba/v1/{me}/down/{subject}", broker)
        assert not may(client, me, "publish", f"cymba/v1/{me}/down/{subject}", broker)
    for topic in (
        "#",
        "+/#",
        "$SYS/#",
        "cymba/#",
        "cymba/v1/+/down/ack",
        "cymba/v1/ey00000000000000/down/desired",
        f"$share/bridge/cymba/v1/{me}/down/ack",
        f"cymba/v1/{me}/down/ack/more",
        f"cymba/v1/{me}/#",
        "cymba/bridge/bridge-0/echo",
        "",
    ):
        assert not may(client, me, "subscribe", topic, broker), topic
        assert not may(client, me, "publish", topic, broker), topic


@BROKERS
def test_a_bridge_hears_all_that_goes_up_and_speaks_all_that_goes_down(client, broker):
    assert may(client, "bridge-0", "subscribe", "cymba/v1/+/up/frame", broker)
    assert may(client, "bridge-0", "subscribe", "$share/bridge/cymba/v1/+/up/frame", broker)
    assert may(client, "bridge-0", "publish", "cymba/v1/ey00000000000000/down/ack", broker)
    assert may(client, "bridge-0", "publish", "cymba/bridge/bridge-0/echo", broker)
    echo = "$share/bridge-0/cymba/bridge/bridge-0/echo"
    assert may(client, "bridge-0", "subscribe", echo, broker)
    assert not may(client, "bridge-0", "publish", "cymba/v1/ey00000000000000/up/frame", broker)
    # It takes presence off the broker.
    assert may(client, "bridge-0", "publish", "cymba/v1/ey00000000000000/up/presence", broker)
    assert not may(client, "bridge-0", "publish", "cymba/v1/ey00/up/presence/more", broker)
    assert not may(client, "bridge-0", "publish", "elsewhere/v1/ey00/up/presence", broker)
    assert not may(client, "bridge-0", "subscribe", "cymba/bridge/bridge-1/echo", broker)
    assert not may(client, "bridge-0", "subscribe", "#", broker)


@BROKERS
def test_a_revoked_device_may_do_nothing_more(client, engine, device, broker):
    topic = f"cymba/v1/{device.device_id}/up/frame"
    assert may(client, device.device_id, "publish", topic, broker)
    with UnitOfWork(engine) as session, session.begin():
        revoke(session, device.device_id)
    assert not may(client, device.device_id, "publish", topic, broker)


def test_one_foreign_topic_among_several_denies_the_subscription(client, device):
    own = {"topic": f"cymba/v1/{device.device_id}/down/ack", "qos": 0}
    foreign = {"topic": "cymba/v1/+/down/ack", "qos": 0}
    asked = {"username": device.device_id, "client_id": device.device_id}
    for topics, expected in (([own], True), ([own, foreign], False), ([], False)):
        hook = "auth_on_subscribe"
        assert vernemq(client, "/v1/broker/acl", hook, **asked, topics=topics) is expected


def test_both_at_once_needs_both_rights(client, device):
    me = device.device_id
    for topic in (f"cymba/v1/{me}/up/frame", f"cymba/v1/{me}/down/ack"):
        assert not go_auth(client, "/v1/broker/acl", username=me, topic=topic, acc=3)
    echo = "cymba/bridge/bridge-0/echo"
    assert go_auth(client, "/v1/broker/acl", username="bridge-0", topic=echo, acc=3)


def test_what_is_asked_in_no_known_way_is_denied(client, device):
    topic = f"cymba/v1/{device.device_id}/up/frame"
    asked = {"username": device.device_id, "topic": topic}
    assert not go_auth(client, "/v1/broker/acl", **asked)
    assert not go_auth(client, "/v1/broker/acl", **asked, acc=9)
    assert not emqx(client, "/v1/broker/acl", **asked, action="all")
    assert not vernemq(client, "/v1/broker/acl", "on_publish", **asked)


@pytest.mark.parametrize("subject", ["frame/", "Frame", "frames", "frame/1"])
def test_a_wrong_topic_is_told_to_who_reads_the_log(client, device, subject):
    """MQTT 3.1.1 cannot say so: the device gets an ordinary PUBACK."""
    topic = f"cymba/v1/{device.device_id}/up/{subject}"
    with capture_logs() as logs:
        for _ in range(3):
            assert not may(client, device.device_id, "publish", topic, "emqx")
    told = [one for one in logs if one["event"].startswith("a publish is denied")]
    assert [(one["device"], one["topic"]) for one in told] == [(device.device_id, topic)]
    shown = client.get("/metrics").get_data(as_text=True)
    assert "cymba_broker_publishes_denied_total 3.0" in shown


def test_what_is_theirs_and_a_subscription_are_not_told(client, engine, device):
    topic = f"cymba/v1/{device.device_id}/up/frame"
    with UnitOfWork(engine) as session, session.begin():
        revoke(session, device.device_id)
    with capture_logs() as logs:
        assert not may(client, device.device_id, "publish", topic, "emqx")
        assert not may(client, device.device_id, "subscribe", topic, "emqx")
    assert not [one for one in logs if one["event"].startswith("a publish is denied")]


@pytest.mark.parametrize("path", ["/v1/broker/auth", "/v1/broker/acl"])
def test_only_brokers_ask(client, path, device):
    body = {"username": device.device_id, "password": device.secret, "clientid": device.device_id}
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": f"Basic {SECRET}"}):
        assert client.post(path, json=body, headers=headers).status_code == 401
    assert client.post(f"{path}?secret=guess", json=body).status_code == 401
    assert client.post(f"{path}?token={SECRET}", json=body, headers=BEARER).status_code == 422


def test_without_a_secret_nobody_asks(settings, engine, device):
    client = create_app(settings, engine).test_client()
    body = {"username": device.device_id, "password": device.secret, "clientid": device.device_id}
    for headers in ({}, BEARER, {"Authorization": "Bearer "}):
        assert client.post("/v1/broker/auth", json=body, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b'{"username": 5}', 422)]
)
def test_a_question_that_is_none_is_refused(client, body, status):
    headers = {**BEARER, "Content-Type": "application/json"}
    assert client.post("/v1/broker/acl", data=body, headers=headers).status_code == status


def test_a_broker_is_told_of_the_devices_of_its_own_cell(client, engine, device):
    with UnitOfWork(engine) as session, session.begin():
        cells.add(session, "north", "mqtts://north.example.org", utc_now())
        there = next(provision(session, "ear_cymba", cell="north"))
    topics = {one: f"cymba/v1/{one.device_id}/up/frame" for one in (device, there)}

    def asked(one, query):
        user, secret = {"username": one.device_id}, {"password": one.secret}
        return [
            emqx(client, f"/v1/broker/auth{query}", **user, **secret, clientid=one.device_id,
                 action="connect"),
            emqx(client, f"/v1/broker/acl{query}", **user, topic=topics[one], action="publish"),
        ]  # fmt: skip

    for query, (own, others) in {
        "": (device, there), "?cell=first": (device, there), "?cell=north": (there, device),
    }.items():  # fmt: skip
        assert (asked(own, query), asked(others, query)) == ([True] * 2, [False] * 2), query
    assert asked(there, "?cell=nroth") == [False] * 2
    bridge = {"username": "bridge-0", "password": "the bridge's", "clientid": "bridge-0"}
    assert emqx(client, "/v1/broker/auth?cell=north", **bridge, action="connect")
    much = client.post(f"/v1/broker/auth?cell={'n' * 32}", json=bridge, headers=BEARER)
    assert much.status_code == 422


def test_a_device_at_another_cells_broker_is_told_from_one_with_a_wrong_secret(client, engine):
    with UnitOfWork(engine) as session, session.begin():
        cells.add(session, "north", "mqtts://north.example.org", utc_now())
        there = next(provision(session, "ear_cymba", cell="north"))
    body = {"username": there.device_id, "password": there.secret, "clientid": there.device_id}
    path = f"/v1/broker/auth?secret={SECRET}"
    with capture_logs() as logs:
        answer = client.post(path, json=body)
    assert (answer.status_code, answer.json["detail"]) == (
        403, "It belongs to the broker of cell 'north'.",
    )  # fmt: skip
    assert [(one["device"], one["its"]) for one in logs if "its" in one] == [
        (there.device_id, "north")
    ]
    wrong = client.post(path, json=body | {"password": "x", "username": "ey00000000000000"})
    assert wrong.json["detail"] == "Denied."
