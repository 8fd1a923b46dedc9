from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from cymba.accounts import rate_limiter
from cymba.accounts.rate_limiter import Bucket
from cymba.accounts.tables import RateLimit
from cymba.accounts.throttle import (
    ADDRESS,
    BUCKETS,
    EMAIL,
    KNOWN_FOR,
    PAIR,
    Attempt,
    Throttled,
    ask_sign_in,
    count_right,
    count_sign_up,
    count_wrong,
)
from cymba.database import UnitOfWork

KEY = b"k" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def guess(engine):
    def once(email="ada@example.org", address="192.0.2.1", now=NOON, *, right=False):
        with UnitOfWork(engine) as session, session.begin():
            asked = ask_sign_in(session, KEY, email=email, address=address, now=now)
        if isinstance(asked, Attempt):
            with UnitOfWork(engine) as session, session.begin():
                (count_right if right else count_wrong)(session, asked, now)
        return asked

    return once


def test_a_pair_gets_its_guesses_back_one_by_one(guess):
    allowed = BUCKETS[PAIR].capacity
    assert all(isinstance(guess(), Attempt) for _ in range(allowed))
    refused = guess()
    assert isinstance(refused, Throttled)
    assert 0 < refused.retry_after_s <= BUCKETS[PAIR].leak_s
    early = NOON + timedelta(seconds=refused.retry_after_s - 1)
    assert isinstance(guess(now=early), Throttled)
    later = NOON + timedelta(seconds=refused.retry_after_s)
    assert isinstance(guess(now=later), Attempt)
    assert isinstance(guess(now=later), Throttled)


def test_letter_case_opens_no_second_bucket(guess):
    for _ in range(BUCKETS[PAIR].capacity):
        guess()
    assert isinstance(guess(email="ADA@Example.org"), Throttled)


def test_success_empties_the_pair(guess):
    for _ in range(20):
        assert isinstance(guess(right=True), Attempt)


def test_one_address_cannot_try_many_accounts(guess):
    counted = [guess(email=f"{n}@example.org") for n in range(BUCKETS[ADDRESS].capacity + 1)]
    assert all(isinstance(one, Attempt) for one in counted[:-1])
    assert isinstance(counted[-1], Throttled)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(guess, one, other, same):
    for _ in range(BUCKETS[PAIR].capacity):
        guess(address=one)
    assert isinstance(guess(address=other), Throttled) is same


def many_addresses(guess, count, now=NOON):
    return [guess(address=f"198.51.{n // 250}.{n % 250}", now=now) for n in range(count)]


def test_guesses_from_everywhere_are_slowed_down_together(guess):
    counted = many_addresses(guess, BUCKETS[EMAIL].capacity + 5)
    assert all(isinstance(one, Throttled) for one in counted[-5:])


def test_nobody_can_lock_the_owner_out_of_their_own_place(guess):
    guess(right=True)
    many_addresses(guess, BUCKETS[EMAIL].capacity + 5)
    assert isinstance(guess(right=True), Attempt)
    assert isinstance(guess(address="203.0.113.5"), Throttled)


def test_a_place_is_known_for_a_while_only(guess):
    guess(right=True)
    later = NOON + KNOWN_FOR
    many_addresses(guess, BUCKETS[EMAIL].capacity + 5, now=later)
    assert isinstance(guess(now=later), Throttled)


def test_a_clock_that_steps_back_forgets_nothing(guess):
    for _ in range(BUCKETS[PAIR].capacity):
        guess()
    back = NOON - timedelta(days=1)
    assert isinstance(guess(now=back), Throttled)
    # From then on it is as it always is.
    assert isinstance(guess(now=back + timedelta(seconds=BUCKETS[PAIR].leak_s)), Attempt)
    assert isinstance(guess(now=back + timedelta(seconds=BUCKETS[PAIR].leak_s)), Throttled)


def test_a_quota_forgets_again_once_a_clock_was_set_back(engine):
    bucket, minute = Bucket(capacity=10, leak_s=60), timedelta(minutes=1)

    def spend(cost, now):
        with UnitOfWork(engine) as session, session.begin():
            return rate_limiter.spend(session, {b"a": (bucket, cost)}, now)[b"a"]

    assert spend(8, NOON + 60 * minute) == 2
    assert spend(1, NOON) == 1
    assert spend(1, NOON + minute) == 1
    # Clocks that are a little apart give no more than one alone.
    assert [spend(1, NOON + minutes * minute) for minutes in (4, 1, 4, 1)] == [3, 2, 1, 0]


def test_old_buckets_go_by_themselves(guess, engine):
    many_addresses(guess, 8)
    for day in range(4):
        guess(now=NOON + KNOWN_FOR + timedelta(days=day + 1), address="203.0.113.7")
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count()).select_from(RateLimit)) == 3


def test_an_address_makes_so_many_accounts_and_no_more(engine):
    with UnitOfWork(engine) as session, session.begin():
        counted = [
            count_sign_up(session, KEY, address="192.0.2.1", now=NOON)
            for _ in range(BUCKETS["sign-up"].capacity + 1)
        ]
    assert counted[:-1] == [None] * (len(counted) - 1)
    assert isinstance(counted[-1], Throttled)


def test_guesses_at_others_from_the_same_address_keep_nobody_out_who_signed_in_there(guess):
    guess(right=True)
    guesses = [guess(email=f"{n}@example.org") for n in range(2 * BUCKETS[ADDRESS].capacity)]
    assert isinstance(guesses[-1], Throttled)
    assert isinstance(guess(right=True), Attempt)


@pytest.mark.parametrize(
    ("one", "other"), [("\u0130@x.org", "i\u0307@x.org"), ("\u00e9@x.org", "e\u0301@x.org")]
)
def test_another_way_of_writing_opens_no_second_bucket(guess, one, other):
    for _ in range(BUCKETS[PAIR].capacity):
        guess(email=one)
    assert isinstance(guess(email=other), Throttled)


def test_guesses_that_are_made_at_once_are_all_waited_off(engine, guess):
    """All are asked about before the first is counted: what they are over the limit, they wait."""
    many = 3 * BUCKETS[PAIR].capacity
    with UnitOfWork(engine) as session, session.begin():
        asked = [
            ask_sign_in(session, KEY, email="ada@example.org", address="192.0.2.1", now=NOON)
            for _ in range(many)
        ]
        for one in asked:
            assert isinstance(one, Attempt)
            count_wrong(session, one, NOON)
    over = many - BUCKETS[PAIR].capacity
    last = NOON + timedelta(seconds=over * BUCKETS[PAIR].leak_s)
    assert isinstance(guess(now=last), Throttled)
    assert isinstance(guess(now=last + timedelta(seconds=BUCKETS[PAIR].leak_s)), Attempt)
