import unicodedata

import pytest
from argon2 import PasswordHasher

from cymba.accounts import passwords
from cymba.accounts.passwords import hash_password, renewed, verify_password
from cymba.errors import Rejected


@pytest.fixture(autouse=True)
def as_shipped(monkeypatch, shipped_hasher):
    monkeypatch.setattr(passwords, "_hasher", shipped_hasher)


def test_a_password_fits_its_hash_alone():
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert verify_password(stored, "correct horse battery")
    assert not verify_password(stored, "correct horse batterz")
    assert not verify_password(stored, "")


def test_the_same_letters_are_the_same_password_however_they_are_composed():
    typed = "zwölf große Bären"
    stored = hash_password(unicodedata.normalize("NFD", typed))
    assert verify_password(stored, unicodedata.normalize("NFC", typed))


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$broken"])
def test_without_a_good_hash_nothing_fits(stored):
    assert not verify_password(stored, "correct horse battery")
    assert not verify_password(stored, "an account that does not exist")


def test_an_unknown_account_costs_a_hash_too(monkeypatch):
    verified = []
    monkeypatch.setattr(passwords, "_hasher", _Counting(verified))
    verify_password(None, "guess")
    assert len(verified) == 1


class _Counting:
    def __init__(self, verified):
        self.verified = verified

    def verify(self, stored, password):
        self.verified.append((stored, password))
        return True

    def hash(self, password):
        return password


@pytest.mark.parametrize("password", ["", "ninechars", "x" * 201])
def test_too_short_and_too_long_are_refused(password):
    with pytest.raises(Rejected) as refused:
        hash_password(password, pointer="/new_password")
    assert refused.value.errors[0]["pointer"] == "/new_password"


def test_a_hash_of_weaker_parameters_is_outdated():
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
    password = "correct horse battery"
    stored = renewed(weak.hash(password), password)
    assert stored is not None
    assert verify_password(stored, password)
    assert renewed(stored, password) is None
    assert renewed(None, password) is None


@pytest.mark.parametrize(
    "common",
    ["1234567890", "0987654321", "QwertyUiop", "Password123!", "aaaaaaaaaa", "abcabcabcabc",
     "abcdefghijkl", "manchester7", "ada@example.org", "adalovelace99"],
)  # fmt: skip
def test_what_is_guessed_first_is_refused(common):
    with pytest.raises(Rejected):
        hash_password(common, of=("ada@example.org", "AdaLovelace"))


@pytest.mark.parametrize("fine", ["correct horse battery", "tr0ub4dor&3x", "qwertyuiop sofa 77 x"])
def test_what_is_not_is_taken(fine):
    assert hash_password(fine, of=("ada@example.org", "Ada"))
