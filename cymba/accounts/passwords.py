"""Passwords, as argon2id hashes (RFC 9106, its second recommended option)."""

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cymba.errors import Rejected

MIN_CHARACTERS = 10
MAX_CHARACTERS = 200

_hasher = PasswordHasher()
# Each hash takes 64 MiB while it is made: many logins at once must not take the memory of all.
_at_once = threading.BoundedSemaphore(4)


def hash_password(password: str, *, pointer: str = "/password") -> str:
    """The hash to store.

    Raises:
        Rejected: the password is too short or too long; `pointer` names it in the problem.
    """
    password = _normal(password)
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        detail = f"must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters"
        raise Rejected(
            f"The password {detail}.",
            code="validation",
            errors=[{"pointer": pointer, "detail": detail}],
        )
    with _at_once:
        return _hasher.hash(password)


def verify_password(stored_hash: str | None, password: str) -> bool:
    """Whether `password` is the one that was hashed; as slow where there is no hash at all, so
    that time does not tell which e-mail addresses have an account."""
    with _at_once:
        try:
            _hasher.verify(stored_hash or _hash_of_nothing(), _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored_hash)


def is_outdated(stored_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored_hash)


def _normal(password: str) -> str:
    """One form for the same characters, however a keyboard composes them (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _hash_of_nothing() -> str:
    return _hasher.hash("an account that does not exist")
