import stat
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cymba.devices.messages import Desired
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.signing import (
    load_key,
    read_public_key,
    show_public_key,
    sign,
    signed_bytes,
    verify,
)
from cymba.settings import Settings, SettingsError

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
DESIRED = Desired(
    ver=7,
    programme=usual_programme(MODELS["ear_cymba"]),
    limits={"amplitude_ua": 3_000, "frequency_hz": 25.0, "phase_charge_uc": 1.25},
    expires=1_800_000_000_000,
)


def test_a_signature_holds_for_its_device_and_message_alone() -> None:
    signed = sign(KEY, "ear-0001", DESIRED)
    assert verify(PUBLIC, "ear-0001", signed)
    assert not verify(PUBLIC, "ear-0002", signed)
    assert not verify(Ed25519PrivateKey.generate().public_key(), "ear-0001", signed)
    raised = msgspec.structs.replace(signed.programme, amplitude_ua=1)
    for forged in (
        msgspec.structs.replace(signed, ver=8),
        msgspec.structs.replace(signed, programme=raised),
        msgspec.structs.replace(signed, limits={}),
        msgspec.structs.replace(signed, expires=None),
        msgspec.structs.replace(signed, signature=None),
        msgspec.structs.replace(signed, signature="not base64!"),
        msgspec.structs.replace(signed, signature="ä"),
        DESIRED,
    ):
        assert not verify(PUBLIC, "ear-0001", forged)


def test_it_holds_after_a_way_through_json() -> None:
    signed = sign(KEY, "ear-0001", DESIRED)
    wire = msgspec.json.encode(signed).replace(b"25.0", b"25")
    assert verify(PUBLIC, "ear-0001", msgspec.json.decode(wire, type=Desired))


def test_what_is_signed_is_deterministic_cbor() -> None:
    """RFC 8949, 4.2.1: keys by their encoded bytes, the shortest form of every number."""
    signed = signed_bytes("ear-0001", sign(KEY, "ear-0001", DESIRED))
    message = cbor2.loads(signed)
    assert list(message) == ["ver", "device", "limits", "expires", "programme"]
    assert message["device"] == "ear-0001"
    assert message["limits"] == {"amplitude_ua": 3_000, "frequency_hz": 25, "phase_charge_uc": 1.25}
    assert isinstance(message["limits"]["frequency_hz"], int)
    assert "native_level" not in message["programme"]
    assert bytes([0x63]) + b"ver" + bytes([0x07]) in signed


def test_the_public_key_is_told_as_text() -> None:
    shown = show_public_key(KEY)
    assert len(shown) == 43
    assert verify(read_public_key(shown), "ear-0001", sign(KEY, "ear-0001", DESIRED))


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    first, again = load_key(settings), load_key(settings)
    assert show_public_key(first) == show_public_key(again)
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_named_key_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    settings = Settings(data_dir=tmp_path, programme_key_file=file)
    with pytest.raises(SettingsError, match="CYMBA_PROGRAMME_KEY_FILE"):
        load_key(settings)
    file.write_text("no key")
    with pytest.raises(SettingsError, match="CYMBA_PROGRAMME_KEY_FILE"):
        load_key(settings)
    rsa = generate_private_key(public_exponent=65_537, key_size=2_048)
    file.write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SettingsError, match="Ed25519"):
        load_key(settings)
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert show_public_key(load_key(settings)) == show_public_key(KEY)
