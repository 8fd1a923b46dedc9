"""What a person is told of their erasure, in plain words: what went and how much of it, what stays
and why. Written once, in their language of that moment, and read by a token after they are gone.

The token is made from the account's id under the server's key, and only its hash is stored: so a
request to erase whose answer was lost gets the same receipt when it is sent again, and who reads
the database learns from a receipt whose it was as little as from the ledger of erasures.
"""

import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts.hashing import hashed
from cymba.accounts.tables import ErasureReceipt
from cymba.errors import NotFound
from cymba.rights.erasure import Erased
from cymba.rights.personal_data import BY_NAME
from cymba.voice import Voice

KEPT_FOR = timedelta(days=90)
RECEIPT_TOKENS = "erasure receipts"  # what their key is for (`keys.derive`)
TOKEN_PREFIX = "receipt_"  # noqa: S105 - a prefix, not a secret

TITLE = "Your account was erased on {day}."
# What stays, and why. The first two only of who held a device.
OF_DEVICES = (
    (
        "The devices that you held, in the inventory: {devices}",
        "They are hardware, and free for the next person. Nothing there names you.",
    ),
    (
        (
            "When somebody held each of these devices, which of its frames arrived, and how its "
            "clock ran, without a name"
        ),
        (
            "What a device still sends of your time is recognised by it and erased on arrival, and "
            "the device is told to free its memory."
        ),
    ),
)
OF_ALL = (
    (
        "An entry under a pseudonym in the ledger of erasures",
        "If the database has to be restored from a backup, you are erased from it again.",
    ),
    (
        "A hash of your account's number",
        "Nobody gets this number again.",
    ),
    (
        "This receipt, until {until}",
        "Whoever has its token can read it. It does not say whose it was.",
    ),
    (
        (
            "What had left this database before: mails that were sent, backups, your own "
            "downloads, and what others have read through your shares"
        ),
        "Nobody can erase it from here. Mails and backups are with whoever runs this service.",
    ),
)


def make_token(key: bytes, account_id: UUID) -> str:
    digest = hmac.digest(key, account_id.bytes, "sha256")
    return TOKEN_PREFIX + urlsafe_b64encode(digest).rstrip(b"=").decode()


def issue(session: Session, token: str, erased: Erased, *, locale: str, now: datetime) -> None:
    """Write the receipt, in the transaction of the erasure."""
    voice, expires_at = Voice.of(locale), now + KEPT_FOR
    values = {"devices": str(erased.devices), "until": voice.day(expires_at.date())}
    stays = (*(OF_DEVICES if erased.devices else ()), *OF_ALL)
    told: dict[str, Any] = {
        "language": voice.language,
        "title": voice.say(TITLE, day=voice.day(now.date())),
        "erased": [
            {"what": voice.translate(holding.about), "rows": erased.rows[name]}
            for name, holding in BY_NAME.items()
            if erased.rows.get(name)
        ],
        "stays": [
            {"what": voice.say(what, **values), "why": voice.translate(why)} for what, why in stays
        ],
    }
    session.add(
        ErasureReceipt(token_hash=hashed(token), erased_at=now, expires_at=expires_at, told=told)
    )
    session.flush()


def read(session: Session, token: str, *, now: datetime) -> dict[str, Any]:
    """
    Raises:
        NotFound: there is none with this token (any more).
    """
    found = find(session, token, now=now)
    if found is None:
        raise NotFound("There is no receipt with this token (any more).")
    return found


def find(session: Session, token: str, *, now: datetime) -> dict[str, Any] | None:
    found = session.get(ErasureReceipt, hashed(token))
    if found is None or found.expires_at <= now:
        return None
    return {"erased_at": found.erased_at, "expires_at": found.expires_at, **found.told}
