"""Access tokens whose signature was checked lately.

A token does not change, so a signature that held once holds until the token ends. Whether its
sign-in was revoked since is read from the database at every request.
"""

from datetime import datetime
from hashlib import blake2b
from threading import Lock

from cymba.accounts.tokens import AccessToken, Signer, read_access

MOST_TOKENS = 4_096


class VerifiedTokens:
    """Remembers the latest `most` good tokens, by their digests."""

    def __init__(self, signer: Signer, most: int = MOST_TOKENS) -> None:
        self._signer = signer
        self._most = most
        self._known: dict[bytes, AccessToken] = {}
        self._lock = Lock()

    def read(self, token: str, now: datetime) -> AccessToken | None:
        """As `read_access`."""
        key = blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        known = self._known.get(key)
        if known is not None:
            return known if int(now.timestamp()) < known.expires_at_s else None
        access = read_access(self._signer, token, now)
        if access is not None:
            with self._lock:
                while len(self._known) >= self._most:
                    del self._known[next(iter(self._known))]
                self._known[key] = access
        return access
