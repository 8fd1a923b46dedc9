"""Secrets and codes as they are stored: who reads the database can use none of them."""

from hashlib import sha256


def hashed(secret: str) -> bytes:
    """SHA-256, which is enough for what was drawn at random. A lone surrogate, which a form may
    hold, is hashed too: such a secret is unknown like any other."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
