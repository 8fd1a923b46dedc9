"""The pseudonym of an erased account in the ledger."""

from hashlib import blake2b
from uuid import UUID

from cymba.accounts.keys import derive

PSEUDONYM_BYTES = 32


def ledger_key(secret: bytes) -> bytes:
    """The key of the ledger's pseudonyms, from `keys.load_secret`.

    If the secret is lost or changed, erased accounts can no longer be found in older backups.
    """
    return derive(secret, "erasure ledger")


def pseudonym(key: bytes, account_id: UUID) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of the account's id. Without the key it identifies nobody."""
    return blake2b(account_id.bytes, key=key, digest_size=PSEUDONYM_BYTES).digest()


def key_check(key: bytes) -> str:
    """A value that shows whether a ledger was written under this key."""
    return blake2b(b"cymba erasure ledger", key=key, digest_size=16).hexdigest()
