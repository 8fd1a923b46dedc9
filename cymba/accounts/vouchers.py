"""Words of the server that nothing is kept of: each holds when it ends, a number that no other has,
and a MAC over both and over what it is about."""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from datetime import datetime, timedelta

_TIME_BYTES, _NUMBER_BYTES, _MAC_BYTES = 5, 8, 19


def make(key: bytes, about: str, *, now: datetime, lifetime: timedelta) -> str:
    head = int((now + lifetime).timestamp()).to_bytes(_TIME_BYTES)
    head += secrets.token_bytes(_NUMBER_BYTES)
    return urlsafe_b64encode(head + _mac(key, about, head)).decode()


def number_of(key: bytes, about: str, given: str, *, now: datetime) -> bytes | None:
    """Its number, if it was made with this key, is about this, and has not ended."""
    try:
        decoded = urlsafe_b64decode(given)
    except (Error, ValueError):
        return None
    ends, number = decoded[:_TIME_BYTES], decoded[_TIME_BYTES : _TIME_BYTES + _NUMBER_BYTES]
    mac = decoded[_TIME_BYTES + _NUMBER_BYTES :]
    if not hmac.compare_digest(mac, _mac(key, about, ends + number)):
        return None
    return number if now.timestamp() < int.from_bytes(ends) else None


def _mac(key: bytes, about: str, head: bytes) -> bytes:
    return hmac.digest(key, head + about.encode(), "sha256")[:_MAC_BYTES]
