"""What passes through nginx: events, archives, packed answers, versions, TLS.

A machine without nginx tries everything else; CI must have it.
"""

import socket
import ssl
import time
from contextlib import suppress

import httpx
import pytest
import trustme
from sqlalchemy import text

from tests.end_to_end.parts import PATIENCE_S
from tests.programs import needs
from tests.service.smart_app import query_of, register

pytestmark = [pytest.mark.slow, needs("nginx")]


def test_an_event_passes_while_its_stream_is_open(proxy, wear, person):
    worn = wear(person).samples().sum_up()
    path = f"/v1/sessions/{worn.id}/live"
    headers = person.headers | {"Accept-Encoding": "gzip"}
    with proxy.client() as client, client.stream("GET", path, headers=headers) as stream:
        assert "Content-Encoding" not in stream.headers
        events = (line for line in stream.iter_lines() if line.startswith("event"))
        assert [next(events), next(events)] == ["event: start", "event: samples"]
        worn.event("lead_off")
        assert next(events) == "event: event"


def test_a_client_that_stops_reading_an_archive_gives_its_place_back(proxied, person, engine):
    """The API's thread waits for its client, and only nginx ends that."""
    file = proxied.config / "nginx.conf"
    file.write_text(file.read_text().replace("send_timeout 30s", "send_timeout 2s"))
    proxied.start()
    with engine.begin() as connection:  # more than the buffers on the way hold
        connection.execute(
            text("""
            INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail)
            SELECT :id, 'system', 'x', 'y', jsonb_build_object('noise', (
              SELECT string_agg(encode(sha256((n * 1000 + m)::text::bytea), 'base64'), '')
              FROM generate_series(1, 300) AS m))
            FROM generate_series(1, 1500) AS n"""),
            {"id": person.id},
        )
    path, bearer = "/v1/account/export", person.headers["Authorization"]
    with (
        socket.create_connection(("127.0.0.1", proxied.port)) as stopped,
        httpx.Client(base_url=proxied.api.url, timeout=PATIENCE_S) as direct,
    ):
        stopped.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode()
        )
        assert stopped.recv(12) == b"HTTP/1.1 200"

        def asked() -> int:
            with direct.stream("GET", path, headers=person.headers) as answer:
                return answer.status_code

        while (status := asked()) == 503:
            time.sleep(0.1)
        assert status == 200
        stopped.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            received = b""
            while piece := stopped.recv(1 << 20):
                received = (received + piece)[-1024:]
        assert not received.endswith(b"\r\n0\r\n\r\n")  # it was not simply sent to its end


def test_an_answer_that_the_api_has_packed_passes_as_it_is(proxy, wear, person):
    worn = wear(person)
    for _ in range(20):
        worn.samples(60, amplitude_ua=list(range(60)))
    worn.end().sum_up()
    telemetry = f"/v1/sessions/{worn.id}/telemetry"
    with proxy.client() as client:
        for accepted, encoding in (("gzip", "gzip"), ("gzip, zstd", "zstd"), ("identity", None)):
            headers = person.headers | {"Accept-Encoding": accepted}
            with client.stream("GET", telemetry, headers=headers) as answer:
                raw = b"".join(answer.iter_raw())
            assert answer.headers.get("Content-Encoding") == encoding
            assert len(raw) == int(answer.headers["Content-Length"])
            assert raw.startswith(b"{") is (encoding is None)


def test_a_tag_that_compression_made_weak_still_names_its_version(proxy, wear, person):
    worn = wear(person).samples().end().sum_up()
    path = f"/v1/sessions/{worn.id}"
    with proxy.client() as client:
        note = {"note": "n" * 1500}  # long enough to be compressed
        first = client.get(path, headers=person.headers).headers["ETag"]
        changed = client.patch(path, json=note, headers=person.headers | {"If-Match": first})
        assert changed.status_code == 200, changed.text
        read = client.get(path, headers=person.headers)
        weak = read.headers["ETag"]
        assert read.headers["Content-Encoding"] == "gzip"
        assert weak.startswith("W/")
        again = client.get(path, headers=person.headers | {"If-None-Match": weak})
        assert again.status_code == 304
        headers = person.headers | {"If-Match": weak}
        assert client.patch(path, json={"note": "b"}, headers=headers).status_code == 200
        assert client.patch(path, json={"note": "c"}, headers=headers).status_code == 412


def test_a_long_request_of_an_app_goes_on_whole(proxy, engine):
    client_id, _ = register(engine)
    with proxy.client() as client:
        described = client.get("/fhir/R4/.well-known/smart-configuration").json()
        authorize = described["authorization_endpoint"]
        here = authorize.removesuffix("/oauth/authorize")
        query = query_of(client_id, aud=f"{here}/fhir/R4", state="x" * 10_000)
        answer = client.get(f"/oauth/authorize?{query}")
    assert answer.headers["Location"] == f"/app/allow#{query}"


def test_with_a_certificate_there_is_tls(proxied):
    authority = trustme.CA()
    # An RSA key, whose exchange without forward secrecy a server could still be asked for.
    certificate = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    certificate.private_key_pem.write_to_path(proxied.tls / "server.key")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(proxied.tls / "server.crt", append=True)
    proxied.start(HSTS="max-age=60; includeSubDomains")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    answer = httpx.get(f"https://127.0.0.1:{proxied.tls_port}/healthz", verify=context)
    assert answer.json() == {"status": "alive"}
    assert answer.headers["Strict-Transport-Security"] == "max-age=60; includeSubDomains"
    with httpx.Client(verify=context, http1=False, http2=True) as newer:
        pages = [
            newer.get(f"https://127.0.0.1:{proxied.tls_port}{path}") for path in ("/", "/docs")
        ]
    assert [(page.http_version, page.status_code) for page in pages] == [("HTTP/2", 200)] * 2
    plain = httpx.get(f"http://127.0.0.1:{proxied.port}/healthz")
    assert "Strict-Transport-Security" not in plain.headers
    assert handshakes(proxied.tls_port, authority, "ECDHE-RSA-AES128-GCM-SHA256")
    assert not handshakes(proxied.tls_port, authority, "AES128-GCM-SHA256:AES256-GCM-SHA384")
    assert not handshakes(proxied.tls_port, authority, "ECDHE-RSA-AES128-SHA256")


def handshakes(port: int, authority: trustme.CA, ciphers: str) -> bool:
    """Whether a client that offers only these, and TLS 1.2, comes to terms with the server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", port)) as line:
        try:
            context.wrap_socket(line, server_hostname="127.0.0.1").close()
        except OSError:
            return False
    return True
