"""The secret that signs tokens and cursors, and the keys that are made from it."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cymba.settings import Settings, SettingsError

MIN_SECRET_CHARACTERS = 32
FILE_NAME = "secret_key"


def load_secret(settings: Settings) -> bytes:
    """`CYMBA_SECRET_KEY`, or else the one kept in `data_dir`, made there at the first start.

    Raises:
        SettingsError: the given secret is too short to sign with.
    """
    if settings.secret_key is None:
        return keep(settings.data_dir / FILE_NAME, lambda: secrets.token_urlsafe(48).encode())
    if len(settings.secret_key) < MIN_SECRET_CHARACTERS:
        raise SettingsError(
            f"CYMBA_SECRET_KEY needs at least {MIN_SECRET_CHARACTERS} characters; "
            "`openssl rand -base64 32` makes a good one"
        )
    return settings.secret_key.encode()


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose alone (HKDF, RFC 5869), so that no signature made for
    one thing is good for another."""
    return HKDF(hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


def throttle_key(secret: bytes) -> bytes:
    """The key of sign-in buckets (`throttle`)."""
    return derive(secret, "sign-in throttle")


def keep(path: Path, make: Callable[[], bytes]) -> bytes:
    """The secret in a file, which is made if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written to a draft and linked into place: if several processes start together, one wins
        # and none reads half a secret.
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(make())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()
