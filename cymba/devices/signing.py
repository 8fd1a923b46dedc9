"""The signature of a desired programme, so that an intruder in the broker cannot raise a current,
and of a relocation, so that they cannot have a device bring its secret to a broker of theirs.

Ed25519 over deterministic CBOR (RFC 8949, section 4.2.1) of the message without `signature` and
absent fields, with the device's id added as `device`: a programme for one device is invalid for
another. A number without a fraction is encoded as an integer, so firmware need not know which
fields could have one. A signed version cannot be replayed: a device ignores a `ver` that is not
above the one it holds.
"""

import base64
import binascii
from typing import Any, TypeVar

import cbor2
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cymba.accounts.keys import keep
from cymba.devices.messages import Desired, Relocation
from cymba.settings import Settings, SettingsError

Signed = TypeVar("Signed", Desired, Relocation)

FILE_NAME = "programme_key.pem"


def load_key(settings: Settings) -> Ed25519PrivateKey:
    """The key in `CYMBA_PROGRAMME_KEY_FILE`, or else one that is made and kept in `data_dir`.

    Raises:
        SettingsError: the named file holds no Ed25519 key in PEM.
    """
    path = settings.programme_key_file
    try:
        pem = keep(settings.data_dir / FILE_NAME, _new_pem) if path is None else path.read_bytes()
        key = load_pem_private_key(pem, password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"CYMBA_PROGRAMME_KEY_FILE: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError("CYMBA_PROGRAMME_KEY_FILE: not an Ed25519 key")
    return key


def show_public_key(key: Ed25519PrivateKey) -> str:
    """The 32 bytes that a device is given at provisioning, as base64url."""
    return _encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def read_public_key(shown: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_decode(shown))


def sign(key: Ed25519PrivateKey, device_id: str, message: Signed) -> Signed:
    signature = _encode(key.sign(signed_bytes(device_id, message)))
    return msgspec.structs.replace(message, signature=signature)


def verify(key: Ed25519PublicKey, device_id: str, message: Desired | Relocation) -> bool:
    try:
        key.verify(_decode(message.signature or ""), signed_bytes(device_id, message))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def signed_bytes(device_id: str, message: Desired | Relocation) -> bytes:
    """The bytes to sign, as the module's docstring describes."""
    members: dict[str, Any] = msgspec.to_builtins(message)
    members.pop("signature", None)
    return cbor2.dumps(_plain({**members, "device": device_id}), canonical=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(shown: str) -> bytes:
    return base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4))
