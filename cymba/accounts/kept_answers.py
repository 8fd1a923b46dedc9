"""Answers that are kept for a day under a key of the app's own: a request whose answer was lost can
be sent again, and makes nothing twice.

An answer is kept in the transaction of its work, so there is neither without the other. What it
says may be a secret (a share's token), so it is sealed under the server's key, for its account and
its app's key alone. The app's key is kept as an HMAC.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import KeptAnswer
from cymba.errors import Conflict, Rejected

KEPT_FOR = timedelta(hours=24)
KEPT_ANSWERS = "kept answers"  # what their key is for (`keys.derive`)
_NONCE_BYTES = 12


class Slot(NamedTuple):
    """Where the answer of one request of an account is kept."""

    account_id: UUID
    key_hash: bytes
    request_hash: bytes


class Kept(NamedTuple):
    answer: bytes
    needs_proof: bool  # whoever asks for it again has to give fresh proof, as for the work


def slot(key: bytes, account_id: UUID, name: str, request: bytes) -> Slot:
    """For the app's key `name`, and a text that says all of what the request asks for."""
    of_account = account_id.bytes + name.encode()
    return Slot(
        account_id,
        hmac.digest(key, b"name " + of_account, "sha256"),
        hmac.digest(key, b"request " + account_id.bytes + request, "sha256"),
    )


def find(session: Session, key: bytes, at: Slot, *, now: datetime) -> Kept | None:
    """The answer of the request, if it was made before. Else its slot is the caller's until the
    transaction ends.

    Raises:
        Conflict: the request is under way, by another transaction.
        Rejected: the key was used for another request.
    """
    turn = int.from_bytes(at.key_hash[:8], signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(turn))):
        raise Conflict(
            "The same request is under way. Wait for it, then send it again.",
            code="request-under-way",
        )
    row = session.get(KeptAnswer, (at.account_id, at.key_hash))
    if row is None:
        return None
    if row.kept_at <= now - KEPT_FOR:
        session.execute(
            delete(KeptAnswer).where(
                KeptAnswer.account_id == at.account_id, KeptAnswer.key_hash == at.key_hash
            )
        )
        session.expunge(row)
        return None
    if not hmac.compare_digest(row.request_hash, at.request_hash):
        raise Rejected(
            "This Idempotency-Key was used for another request. Give each request its own.",
            code="key-reused",
        )
    nonce, sealed = row.answer[:_NONCE_BYTES], row.answer[_NONCE_BYTES:]
    return Kept(ChaCha20Poly1305(key).decrypt(nonce, sealed, _about(at)), row.needs_proof)


def keep(session: Session, key: bytes, at: Slot, kept: Kept, *, now: datetime) -> None:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + ChaCha20Poly1305(key).encrypt(nonce, kept.answer, _about(at))
    session.add(
        KeptAnswer(**at._asdict(), answer=sealed, needs_proof=kept.needs_proof, kept_at=now)
    )
    session.flush()


def _about(at: Slot) -> bytes:
    return at.account_id.bytes + at.key_hash + at.request_hash
