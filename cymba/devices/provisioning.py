"""New devices: their names, their secrets and the codes by which a person claims them.

Only hashes are kept. A secret is hashed as Mosquitto writes its password file
(`$7$iterations$salt$hash`, PBKDF2 with SHA-512), so that one hash serves the broker's file and
the brokers that ask us. It is random, 192 bits: the few iterations are enough.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.devices.catalogue import all_models, find_model
from cymba.devices.holders import announce_to_holders
from cymba.devices.models import Model
from cymba.devices.tables import Device, DeviceSuspension
from cymba.errors import NotFound, Rejected
from cymba.settings import FIRST_CELL

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without letters that are mistaken for others: crockford.com/base32.html"""

_MISTAKEN = str.maketrans("OIL", "011")

CODE_LENGTH = 10  # 50 bits
ITERATIONS = 101  # as mosquitto_passwd
BATCH = 500

CHANGES = "cymba_credentials"
"""The channel on which PostgreSQL notifies, after the commit, that secrets have changed."""


class Credentials(NamedTuple):
    """A device's credentials. They are shown once, at its provisioning."""

    device_id: str
    serial: str
    model: str
    secret: str
    claim_code: str


def provision(
    session: Session, model: str, count: int = 1, *, cell: str = FIRST_CELL
) -> Iterator[Credentials]:
    """Make `count` devices of `model` in `cell`, in batches: memory does not grow with `count`.

    The caller commits when it has consumed them, or between any two.

    Raises:
        Rejected: there is no such model.
    """
    return _provision(session, known_model(session, model), count, cell)


def known_model(session: Session, name: str) -> Model:
    """
    Raises:
        Rejected: there is no such model.
    """
    found = find_model(session, name)
    if found is None:
        known = ", ".join(one.name for one in all_models(session))
        raise Rejected(f"there is no model {name!r}; there are {known}", code="unknown-model")
    return found


def _provision(session: Session, model: Model, count: int, cell: str) -> Iterator[Credentials]:
    left = count
    while left:
        made = [_draw(model) for _ in range(min(left, BATCH))]
        statement = insert(Device).on_conflict_do_nothing().returning(Device.id)
        rows = [
            {
                "id": one.device_id,
                "serial": one.serial,
                "model": model.name,
                "secret_hash": hash_secret(one.secret),
                "claim_code_hash": hash_claim_code(one.device_id, one.claim_code),
                "cell": cell,
            }
            for one in made
        ]
        # An id that exists already is drawn again.
        stored = set(session.scalars(statement, rows))
        tell_brokers(session)
        new = [one for one in made if one.device_id in stored]
        left -= len(new)
        yield from new


def reissue_secret(session: Session, device_id: str) -> str:
    """Give a device a new secret; the old one, and a revocation, end with the transaction."""
    secret = secrets.token_urlsafe(24)
    _change(session, device_id, secret_hash=hash_secret(secret), revoked_at=None)
    _end_suspension(session, device_id)
    tell_brokers(session)
    return secret


def revoke(session: Session, device_id: str) -> None:
    """Lock a device out until its secret is re-issued."""
    _change(session, device_id, secret_hash=None, revoked_at=utc_now())
    _end_suspension(session, device_id)
    tell_brokers(session)


def reissue_claim_code(session: Session, device_id: str) -> str:
    """Give a device a new claim code, for the operator or its holder to hand on.

    Whoever claims with it becomes the holder, even if somebody else holds the device.
    """
    code = _draw_code(CODE_LENGTH)
    _change(session, device_id, claim_code_hash=hash_claim_code(device_id, code))
    return show_code(code)


def authenticate(session: Session, device_id: str, secret: str) -> bool:
    """Whether `secret` is the device's."""
    stored = session.scalar(select(Device.secret_hash).where(Device.id == device_id))
    return verify_secret(stored, secret)


def hash_secret(secret: str, *, iterations: int = ITERATIONS) -> str:
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify_secret(stored: str | None, secret: str) -> bool:
    """Compare in constant time; a device without a secret costs as much as one with a wrong one."""
    try:
        _, scheme, iterations, salt, digest = (stored or _NOBODY).split("$")
        expected = base64.b64decode(digest, validate=True)
        actual = hashlib.pbkdf2_hmac(
            "sha512",
            secret.encode(errors="surrogatepass"),
            base64.b64decode(salt, validate=True),
            int(iterations),
            len(expected),
        )
    except (ValueError, binascii.Error, OverflowError):
        return False
    return hmac.compare_digest(expected, actual) and scheme == "7" and stored is not None


def hash_claim_code(device_id: str, code: str) -> bytes:
    """SHA-256 of the code as it is meant, with its device: a guess counts for one device only."""
    return hashlib.sha256(f"{device_id}:{read_code(code)}".encode()).digest()


def read_code(typed: str) -> str:
    """A code as it was meant: without spaces, dashes and case, and O read as 0."""
    return _plain(typed).translate(_MISTAKEN)


def read_serial(typed: str) -> str:
    """A serial as it was meant: its first two are its model's letters, which may be O, I or L."""
    plain = _plain(typed)
    return plain[:2] + plain[2:].translate(_MISTAKEN)


def _plain(typed: str) -> str:
    return "".join(letter for letter in typed.upper() if letter.isascii() and letter.isalnum())


def show_code(code: str) -> str:
    """A code in groups of five, as it is printed."""
    return "-".join(code[at : at + 5] for at in range(0, len(code), 5))


def _draw(model: Model) -> Credentials:
    return Credentials(
        device_id=f"{model.prefix}{secrets.token_hex(8)}".lower(),
        serial=model.prefix + _draw_code(10),
        model=model.name,
        secret=secrets.token_urlsafe(24),
        claim_code=show_code(_draw_code(CODE_LENGTH)),
    )


def _draw_code(length: int) -> str:
    return "".join(secrets.choice(CROCKFORD) for _ in range(length))


def _change(session: Session, device_id: str, **values: object) -> None:
    changed = session.scalar(
        update(Device).where(Device.id == device_id).values(**values).returning(Device.id)
    )
    if changed is None:
        raise NotFound(f"there is no device {device_id}")


def _end_suspension(session: Session, device_id: str) -> None:
    """The secret that was to come back is no longer the device's."""
    ended = session.scalar(
        delete(DeviceSuspension)
        .where(DeviceSuspension.device_id == device_id)
        .returning(DeviceSuspension.device_id)
    )
    if ended is not None:
        announce_to_holders(session, [device_id])


def tell_brokers(session: Session) -> None:
    """Notify the writers of the brokers' files, with the commit, that secrets have changed."""
    session.execute(select(func.pg_notify(CHANGES, "")))


_NOBODY = hash_secret(secrets.token_urlsafe(24))
