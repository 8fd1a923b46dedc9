"""Accounts: making one, finding it at sign-in, changing it."""

import re
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.accounts.passwords import hash_password, is_outdated
from cymba.accounts.tables import Account
from cymba.accounts.zones import is_zone
from cymba.errors import Conflict, Rejected

EMAIL_PATTERN: Final = (
    r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s.\x00-\x1f\x7f]+(\.[^@\s.\x00-\x1f\x7f]+)+$"
)
MAX_EMAIL_CHARACTERS: Final = 254
LOCALE_PATTERN: Final = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"  # the usual part of BCP 47
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
        Conflict: the e-mail address has an account already (letter case does not count).
    """
    _check({"email": email, "name": name, "time_zone": time_zone, "locale": locale})
    account_id = session.scalar(
        insert(Account)
        .values(
            email=email,
            password_hash=hash_password(password),
            name=name,
            time_zone=time_zone,
            locale=locale,
            role=role,
        )
        .on_conflict_do_nothing()
        .returning(Account.id)
    )
    if account_id is None:
        raise Conflict("This e-mail address has an account already.", code="email-taken")
    return session.get_one(Account, account_id)


def check_email(email: str, *, pointer: str = "/new_email") -> None:
    """Raise `Rejected` unless it is an e-mail address."""
    problem = _problem("email", email)
    if problem:
        errors = [{"pointer": pointer, "detail": problem}]
        raise Rejected("This is no e-mail address.", code="validation", errors=errors)


def find_by_email(session: Session, email: str) -> Account | None:
    return session.scalars(
        select(Account).where(func.lower(Account.email) == func.lower(email))
    ).one_or_none()


def renew_hash(account: Account, password: str) -> None:
    """Hash a password that was just verified again, if its hash was made with weaker parameters."""
    if account.password_hash is not None and is_outdated(account.password_hash):
        account.password_hash = hash_password(password)


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
            good = len(value) <= MAX_EMAIL_CHARACTERS and re.fullmatch(EMAIL_PATTERN, value)
            return None if good else "is not an e-mail address"
        case "time_zone":
            return None if is_zone(value) else "is not an IANA time zone such as Europe/Berlin"
        case "locale":
            return None if re.fullmatch(LOCALE_PATTERN, value) else "is not a BCP 47 language tag"
        case _:
            longest = MAX_NAME_CHARACTERS
            return None if len(value) <= longest else f"has more than {longest} characters"
