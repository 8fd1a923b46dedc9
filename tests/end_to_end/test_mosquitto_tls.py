"""TLS and mutual TLS on a Mosquitto as it is shipped, with certificates made on the spot."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from sqlalchemy import Engine, func, select

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.devices.tables import DeviceTenure
from cymba.stimulation.tables import StoredFrame
from cymba.stimulation.wire.messages import to_json
from tests.end_to_end.devices import session_frames
from tests.end_to_end.parts import BridgeProcess, wait_until
from tests.end_to_end.shipped_mosquitto import PASSWORDS, MqttCaller, ShippedMosquitto, call
from tests.programs import needs

pytestmark = [
    pytest.mark.slow,
    needs("mosquitto"),
]
BRIDGE = ("bridge-0", PASSWORDS["BRIDGE_PASSWORD"])


class Authority:
    """Signs the broker's certificate and those of its clients, and takes them back."""

    def __init__(self, broker: ShippedMosquitto, folder: Path) -> None:
        self._ca, self._folder, self._broker = trustme.CA(), folder, broker
        self.ca_file = folder / "ca.crt"
        folder.mkdir()
        self._ca.cert_pem.write_to_path(self.ca_file)
        # An RSA key, whose exchange without forward secrecy a server could still be asked for.
        server = self._ca.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.RSA)
        server.private_key_pem.write_to_path(broker.tls / "server.key")
        (broker.tls / "server.crt").write_bytes(
            b"".join(part.bytes() for part in server.cert_chain_pems)
        )
        self._ca.cert_pem.write_to_path(broker.tls / "clients-ca.crt")
        self.take_back()

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate with this common name and of its key."""
        made = self._ca.issue_cert(common_name=name)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return certificate, key

    def take_back(self, *certificates: Path) -> None:
        """Write the list of those that hold no longer."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(
            x509.load_pem_x509_certificate(self._ca.cert_pem.bytes()).subject,
            now - timedelta(minutes=1), now + timedelta(days=1),
        )  # fmt: skip
        for file in certificates:
            number = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            one = x509.RevokedCertificateBuilder(number, now - timedelta(minutes=1)).build()
            builder = builder.add_revoked_certificate(one)
        key = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        signed = builder.sign(key, SHA256())
        (self._broker.tls / "clients.crl").write_bytes(signed.public_bytes(Encoding.PEM))

    def trust(
        self, certificate: tuple[Path, Path] | None = None, *, ciphers: str | None = None
    ) -> ssl.SSLContext:
        """What a client needs to know the broker, and to be known by it. With `ciphers` it speaks
        TLS 1.2 and offers no others."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if ciphers is not None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


@pytest.fixture
def broker(tmp_path: Path, engine: Engine) -> Iterator[ShippedMosquitto]:
    made = ShippedMosquitto(tmp_path / "site", engine)
    with ExitStack() as stack:
        stack.callback(made.stop)
        yield made


@pytest.fixture
def authority(broker: ShippedMosquitto, tmp_path: Path) -> Authority:
    """Its broker runs."""
    made = Authority(broker, tmp_path / "authority")
    broker.start()
    return made


Enter = Callable[..., MqttCaller]


@pytest.fixture
def enter(broker: ShippedMosquitto) -> Iterator[Enter]:
    """Connect until the broker admits it: it may not have read a new device yet."""
    callers: list[MqttCaller] = []

    def entered(port: int, *arguments: object, **options: object) -> MqttCaller:
        def try_it() -> bool:
            callers.append(call(port, *arguments, **options))  # type: ignore[arg-type]
            return callers[-1].entered

        wait_until(try_it, what=lambda: broker.log)
        return callers[-1]

    yield entered
    for caller in callers:
        caller.leave()


def enters(port: int, *arguments: object, **options: object) -> bool:
    try:
        caller = call(port, *arguments, **options)  # type: ignore[arg-type]
    except OSError:  # ssl.SSLError is one
        return False
    caller.leave()
    return caller.entered


def test_secrets_over_tls(broker: ShippedMosquitto, authority: Authority, enter: Enter) -> None:
    one = broker.provision()
    bridge = enter(broker.tls_port, *BRIDGE, tls=authority.trust())
    assert bridge.subscribe("cymba/v1/+/up/frame")
    device = enter(broker.tls_port, *one, tls=authority.trust(), client_id="bridge-0")
    device.say(f"cymba/v1/{one[0]}/up/frame", b"own")
    wait_until(lambda: bool(bridge.heard), what="the bridge hears")
    assert not bridge.lost.is_set()  # a borrowed client id is no use here either
    assert not enters(broker.tls_port, one[0], "wrong", tls=authority.trust())
    with pytest.raises(ssl.SSLCertVerificationError):  # a stranger in the broker's place
        call(broker.tls_port, *one, tls=ssl.create_default_context())
    assert not enters(broker.tls_port, *one)  # in the clear
    kept, lost = "ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256:AES256-GCM-SHA384"
    assert enters(broker.tls_port, *one, tls=authority.trust(ciphers=kept))
    assert not enters(broker.tls_port, *one, tls=authority.trust(ciphers=lost))


def test_certificates_in_place_of_secrets(
    broker: ShippedMosquitto, authority: Authority, enter: Enter
) -> None:
    one, other = broker.provision(), broker.provision()
    port = broker.mutual_tls_port
    bridge = enter(port, None, tls=authority.trust(authority.issue("bridge-0")))
    assert bridge.subscribe("cymba/v1/+/up/frame")
    # What it says of itself counts for nothing: its certificate's name is its user and client id.
    mine = authority.trust(authority.issue(one[0]))
    device = enter(port, "bridge-0", "any", tls=mine, client_id="bridge-0")
    device.subscribe("cymba/v1/+/up/frame")
    assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
    device.say(f"cymba/v1/{other[0]}/up/frame", b"forged")
    device.say(f"cymba/v1/{one[0]}/up/frame", b"own")
    bridge.say(f"cymba/v1/{one[0]}/down/ack", b"for one")
    wait_until(lambda: bool(bridge.heard and device.heard), what=lambda: broker.log)
    assert bridge.heard == [(f"cymba/v1/{one[0]}/up/frame", b"own")]
    assert {topic for topic, _ in device.heard} == {f"cymba/v1/{one[0]}/down/ack"}
    assert not bridge.lost.is_set()
    assert not enters(port, *other, tls=authority.trust())  # a secret in place of a certificate
    foreign = trustme.CA().issue_cert(common_name=other[0])
    context = authority.trust()
    foreign.configure_cert(context)
    assert not enters(port, None, tls=context)


def test_a_revoked_device_has_no_rights_left_by_its_certificate(
    broker: ShippedMosquitto, authority: Authority, enter: Enter
) -> None:
    one, other = broker.provision(), broker.provision()
    port = broker.mutual_tls_port
    bridge = enter(port, None, tls=authority.trust(authority.issue("bridge-0")))
    assert bridge.subscribe("cymba/v1/+/up/frame")
    certificates = [authority.trust(authority.issue(device_id)) for device_id, _ in (one, other)]
    device, neighbour = (enter(port, None, tls=each) for each in certificates)
    assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
    assert neighbour.subscribe(f"cymba/v1/{other[0]}/down/#")
    broker.operate("revoke", one[0])

    def is_mute() -> bool:
        """Whether nothing that it says is heard before what another says after it."""
        bridge.heard.clear()
        for line in (device, again):
            with suppress(RuntimeError):  # its line may be cut at any moment
                line.say(f"cymba/v1/{one[0]}/up/frame", b"revoked")
        last = (f"cymba/v1/{other[0]}/up/frame", b"own")
        neighbour.say(*last)
        wait_until(lambda: last in bridge.heard, what="the neighbour is heard")
        return bridge.heard == [last]

    again = call(port, None, tls=certificates[0])
    wait_until(is_mute, what="the revoked device is heard no more")
    assert is_mute()
    device.heard.clear()
    bridge.say(f"cymba/v1/{one[0]}/down/ack", b"for one")
    bridge.say(f"cymba/v1/{other[0]}/down/ack", b"for the other")
    wait_until(lambda: bool(neighbour.heard), what="the neighbour hears")
    assert device.heard == []
    assert again.heard == []
    again.leave()


def test_a_certificate_that_was_taken_back_lets_in_no_more(
    broker: ShippedMosquitto, authority: Authority, enter: Enter
) -> None:
    one, other = broker.provision(), broker.provision()
    port = broker.mutual_tls_port
    mine, others = authority.issue(one[0]), authority.issue(other[0])
    enter(port, None, tls=authority.trust(mine)).leave()
    authority.take_back(mine[0])
    broker.hang_up()
    wait_until(
        lambda: not enters(port, None, tls=authority.trust(mine)),
        what="the broker has read the list",
    )  # fmt: skip
    assert enters(port, None, tls=authority.trust(others))


def test_a_bridge_over_mutual_tls_stores_what_a_device_sends_over_tls(
    broker: ShippedMosquitto, authority: Authority, enter: Enter, engine: Engine, tmp_path: Path
) -> None:
    one = broker.provision()
    with UnitOfWork(engine) as session:
        account = Account(email="holder@example.org")
        session.add(account)
        session.flush()
        session.add(DeviceTenure(device_id=one[0], account_id=account.id, claimed_at=utc_now()))
        session.commit()
    certificate, key = authority.issue("bridge-1")
    bridge = BridgeProcess(
        tmp_path / "bridge.log",
        {
            "CYMBA_DATABASE_URL": broker.settings.database_url or "",
            "CYMBA_BROKER_URL": f"mqtts://bridge:of-the-group@127.0.0.1:{broker.mutual_tls_port}",
            "CYMBA_BROKER_CA_FILE": str(authority.ca_file),
            "CYMBA_BROKER_CLIENT_CERT_FILE": str(certificate),
            "CYMBA_BROKER_CLIENT_KEY_FILE": str(key),
            "CYMBA_BRIDGE_SLOTS": "2",
        },
        slot=1,
    )
    bridge.start()
    try:
        device = enter(broker.tls_port, *one, tls=authority.trust())
        assert device.subscribe(f"cymba/v1/{one[0]}/down/#")
        frames = session_frames(7, 5, seed=1)

        def are_stored() -> bool:
            for frame in frames:
                device.say(f"cymba/v1/{one[0]}/up/frame", to_json(frame))
            with UnitOfWork(engine) as session:
                stored = session.scalar(select(func.count()).select_from(StoredFrame))
            return bool(device.heard) and stored == len(frames)

        wait_until(are_stored, what=lambda: bridge.log + broker.log)
    finally:
        bridge.stop()
