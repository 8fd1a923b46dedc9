"""Accounts: making one, finding it at sign-in, changing it."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cymba.accounts import address_directory, addresses, passwords
from cymba.accounts.audit import note_own
from cymba.accounts.passwords import rehash
from cymba.accounts.tables import Account
from cymba.accounts.zones import is_zone, with_past
from cymba.database import utc_now
from cymba.errors import Rejected
from cymba.failures import is_duplicate
from cymba.parts import lies_in_parts
from cymba.voice import is_tag, said

MAX_NAME_CHARACTERS: Final = 200

Role = Literal["person", "clinician", "operator"]


def register(
    session: Session,
    *,
    email: str,
    password: str,
    name: str = "",
    time_zone: str = "UTC",
    locale: str = "en",
    role: Role = "person",
) -> Account:
    """A new account.

    Raises:
        Rejected: a value breaks a rule; `errors` names each.
        Conflict: the e-mail address has an account already, however it is written there.
    """
    check_new(email=email, password=password, name=name, time_zone=time_zone, locale=locale)
    return enter(
        session,
        addresses.parse(email),
        # Slow on purpose. The API makes it here without holding a connection: its session takes one
        # with its first statement, which comes after this.
        password_hash=rehash(password),
        name=name,
        time_zone=time_zone,
        locale=locale,
        role=role,
    )


def enter(session: Session, email: str, **values: Any) -> Account:
    """A new account with an address that was parsed.

    Raises:
        Conflict: the address has an account already, however it is written there.
    """
    row = insert(Account).values(email=email, email_key=addresses.key(email), **values)
    account_id = session.scalar(row.on_conflict_do_nothing().returning(Account.id))
    if account_id is None or not address_directory.take(session, account_id, email):
        raise address_directory.taken()
    return session.get_one(Account, account_id)


def check_new(*, email: str, password: str, name: str, time_zone: str, locale: str) -> None:
    """What `register` raises whoever has an account.

    Raises:
        Rejected: a value breaks a rule; `errors` names each.
    """
    _check({"email": email, "name": name, "time_zone": time_zone, "locale": locale})
    passwords.check_new(password, pointer="/password", of=(email, name))


def parse_email(email: str, *, pointer: str = "/new_email") -> str:
    """The address as it is stored.

    Raises:
        Rejected: it is none; `pointer` names it in the problem.
    """
    try:
        return addresses.parse(email)
    except addresses.NoAddress as error:
        errors = [{"pointer": pointer, "detail": error.detail}]
        raise Rejected("This is no e-mail address.", code="validation", errors=errors) from None


def find_by_email(session: Session, email: str) -> Account | None:
    """The account of an address, however it is written (`addresses.key`).

    An account without a key is older than the rule, and another account has its key. Its own
    address, written as it is stored, still finds it.
    """
    is_one = Account.id.in_(address_directory.whose(email))
    if lies_in_parts(session):  # where Citus would ask all of them for the account
        is_one = Account.id.in_(address_directory.who_has(session, email))
    query = select(Account).where(
        is_one,
        or_(
            Account.email_key == addresses.key(email),
            and_(Account.email_key.is_(None), func.lower(Account.email) == func.lower(email)),
        ),
    )
    # First the account with exactly this spelling, then the one that has the key.
    order = (Account.email != email, Account.email_key.is_(None), Account.created_at)
    return session.scalars(query.order_by(*order).limit(1)).one_or_none()


def without_key(session: Session) -> list[tuple[UUID, UUID | None]]:
    """Accounts whose address is another spelling of an older account's, with that account.

    None for the older account: an earlier version of the code made this one, and its key is due.
    """
    found = session.execute(select(Account.id, Account.email).where(Account.email_key.is_(None)))
    keys = {account_id: addresses.key(email) for account_id, email in found}
    query = select(Account.email_key, Account.id).where(Account.email_key.in_(keys.values()))
    older = {row.email_key: row.id for row in session.execute(query)}
    return [(account_id, older.get(key)) for account_id, key in keys.items()]


def verify_email(account: Account, now: datetime) -> None:
    """The person proved the mailbox with a code from it, or a provider vouches for it."""
    if account.email_verified_at is None:
        account.email_verified_at = now


def renew(session: Session, account: Account, renewed_hash: str | None) -> None:
    """Renew at a sign-in what needs the password: its hash, if that was made with weaker parameters
    (`passwords.renewed`); and the key of the address, if no account has it."""
    if renewed_hash is not None:
        account.password_hash = renewed_hash
    if account.email_key is None:
        others = set(address_directory.who_has(session, account.email)) - {account.id}
        if not others:
            move(session, account, account.email)


def move(session: Session, account: Account, email: str) -> None:
    """Give the account another address, which was parsed. Lock the account first.

    Raises:
        Conflict: another account has it.
    """
    old, old_key = account.email, account.email_key
    try:
        with session.begin_nested():
            account.email = email  # and its key
    except DBAPIError as error:
        if not is_duplicate(error):
            raise
        raise address_directory.taken() from None
    if not address_directory.take(session, account.id, email):
        raise address_directory.taken()
    if account.email_key != old_key:
        address_directory.leave(session, account.id, old, old_key)


def lock(session: Session, account_id: UUID) -> Account:
    """The account, locked and as it is now, so that its version can be checked and raised."""
    return session.get_one(Account, account_id, with_for_update=True, populate_existing=True)


def change(
    session: Session,
    account: Account,
    *,
    name: str | None = None,
    time_zone: str | None = None,
    locale: str | None = None,
) -> None:
    """Change what is given; the version rises if anything became different.

    Raises:
        Rejected: a value breaks a rule; `errors` names each.
    """
    given = {"name": name, "time_zone": time_zone, "locale": locale}
    changes = {
        field: value
        for field, value in given.items()
        if value is not None and value != getattr(account, field)
    }
    _check(changes)
    if "time_zone" in changes:
        account.past_zones = with_past(account.past_zones, account.time_zone, utc_now())
    for field, value in changes.items():
        setattr(account, field, value)
    if changes:
        account.version += 1
        note_own(session, account.id, "account.changed", fields=sorted(changes))


def _check(values: dict[str, str]) -> None:
    errors = [
        {"pointer": f"/{field}", "detail": problem}
        for field, value in values.items()
        if (problem := _problem(field, value))
    ]
    if errors:
        raise Rejected("The account breaks a rule.", code="validation", errors=errors)


def _problem(field: str, value: str) -> str | None:
    if "\0" in value:
        return "must not hold a NUL character"
    match field:
        case "email":
            try:
                addresses.parse(value)
            except addresses.NoAddress as error:
                return error.detail
            return None
        case "time_zone":
            return None if is_zone(value) else "is not an IANA time zone such as Europe/Berlin"
        case "locale":
            return None if is_tag(value) else "is not a BCP 47 language tag"
        case _:
            longest = MAX_NAME_CHARACTERS
            fits = len(value) <= longest
            return None if fits else said("has more than {longest} characters", longest=longest)
