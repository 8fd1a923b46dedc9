"""The name under which an erased account stays in the ledger."""

from hashlib import blake2b
from uuid import UUID

from cymba.accounts.keys import derive

PSEUDONYM_BYTES = 32


def ledger_key(secret: bytes) -> bytes:
    """The key of the ledger's pseudonyms, from `keys.load_secret`.

    Who loses the secret, or changes it, can no longer find an erased account in an older backup.
    """
    return derive(secret, "erasure ledger")


def pseudonym(key: bytes, account_id: UUID) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of the account's id: without the key it tells of nobody."""
    return blake2b(account_id.bytes, key=key, digest_size=PSEUDONYM_BYTES).digest()


def key_check(key: bytes) -> str:
    """What tells whether a ledger was written under this key."""
    return blake2b(b"cymba erasure ledger", key=key, digest_size=16).hexdigest()
