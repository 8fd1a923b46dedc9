"""Passwords, as argon2id hashes (RFC 9106, its second recommended option)."""

import re
import threading
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cymba.errors import Busy, Rejected
from cymba.voice import said

MIN_CHARACTERS = 10
MAX_CHARACTERS = 200
# Those of ten characters and more among the 30,000 commonest of leaked passwords, as the library
# zxcvbn counts them (MIT).
_COMMON_FILE: Final = Path(__file__).with_name("common_passwords.txt")
_ROWS: Final = ("1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
_SIGNS: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "

_hasher = PasswordHasher()
# A hash takes 64 MiB while it is made, so few are made at once. Others are refused and retry: if
# they waited, they would hold all threads.
AT_ONCE = 4
_hashing: list[str | None] = []  # the stored hash of each; one at a time for one account
_lock = threading.Lock()


@contextmanager
def _place(stored_hash: str | None = None) -> Iterator[None]:
    """Call it outside of any transaction: a hash is slow on purpose.

    Raises:
        Busy: too many are being made, or one for the same account.
    """
    with _lock:
        if len(_hashing) >= AT_ONCE or (stored_hash is not None and stored_hash in _hashing):
            raise Busy("Too many passwords are being looked at. Try again.")
        _hashing.append(stored_hash)
    try:
        yield
    finally:
        with _lock:
            _hashing.remove(stored_hash)


def hash_password(password: str, *, pointer: str = "/password", of: Collection[str] = ()) -> str:
    """The hash to store.

    Raises:
        Rejected: the password is too short, too long or easily guessed; `pointer` names it in the
            problem. `of` is what everybody knows about the person.
    """
    check_new(password, pointer=pointer, of=of)
    return rehash(password)


def check_new(password: str, *, pointer: str, of: Collection[str] = ()) -> None:
    """Raise what `hash_password` would, without making the hash."""
    password = _normal(password)
    detail: str | None = None
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        detail = said(
            "must have {least} to {most} characters", least=MIN_CHARACTERS, most=MAX_CHARACTERS
        )
    elif _is_common(password, of):
        detail = "is among the first that somebody who guesses would try: choose another"
    if detail:
        raise Rejected(
            said("The password {problem}.", problem=detail),
            code="validation",
            errors=[{"pointer": pointer, "detail": detail}],
        )


def rehash(password: str) -> str:
    """The hash of a password that was accepted before, whatever today's rules say."""
    with _place():
        return _hasher.hash(_normal(password))


def verify_password(stored_hash: str | None, password: str) -> bool:
    """Whether `password` is the one that was hashed. It is as slow without a hash, so that its time
    does not show which e-mail addresses have an account."""
    with _place(stored_hash):
        try:
            _hasher.verify(stored_hash or _hash_of_nothing(), _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored_hash)


def renewed(stored_hash: str | None, password: str) -> str | None:
    """A new hash of the password, if the stored one was made with weaker parameters than today's
    and there is a place to make it."""
    if stored_hash is None or not _hasher.check_needs_rehash(stored_hash):
        return None
    try:
        return rehash(password)
    except Busy:
        return None


def wrong_password(pointer: str) -> Rejected:
    return Rejected(
        "The current password is not right.",
        code="wrong-password",
        errors=[{"pointer": pointer, "detail": "is not the account's password"}],
    )


def _normal(password: str) -> str:
    """One form for the same characters, however a keyboard composes them (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _hash_of_nothing() -> str:
    return _hasher.hash("an account that does not exist")


def _is_common(password: str, of: Collection[str]) -> bool:
    """Common, or made of what everybody knows: the address, the name, a run of keys, one piece
    repeated. Letter case and digits or signs at the end do not count."""
    plain = password.casefold()
    stem = re.sub(r"[\W\d_]+$", "", plain)
    known = {part.casefold() for one in of for part in (one, one.partition("@")[0]) if part}
    if {plain, plain.rstrip(_SIGNS), stem} & (_common() | known):
        return True
    runs = [row + row for row in (*_ROWS, _ALPHABET)]
    if any(plain in run or plain in run[::-1] for run in runs):
        return True
    return re.fullmatch(r"(.{1,4}?)\1+.{0,3}", plain) is not None


@cache
def _common() -> frozenset[str]:
    return frozenset(_COMMON_FILE.read_text("ascii").split())
