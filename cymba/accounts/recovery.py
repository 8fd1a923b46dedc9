"""A forgotten password, and a change of address: both by a code sent to the mailbox."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from cymba.accounts import audit, letters, oidc, single_use, tokens
from cymba.accounts.passwords import wrong_password
from cymba.accounts.profile import find_by_email, lock, move, parse_email, verify_email
from cymba.accounts.tables import Account
from cymba.errors import Rejected


def request_reset(session: Session, email: str, *, now: datetime) -> None:
    """Mail a code to the address, if it has an account. The caller cannot see whether it has."""
    account = find_by_email(session, email)
    if account is None:
        _work_as_much(session)
        return
    token = single_use.make(session, account.id, "password-reset", now=now)
    # The code's row holds the account: an address that was just given up is not its own any more.
    session.refresh(account)
    _post(session, account, letters.RESET, code=token)


def _work_as_much(session: Session) -> None:
    """Spend the same time as for an address that has an account."""
    session.get(Account, uuid4())
    with session.begin_nested() as undone:
        letters.post(
            session, letters.RESET, account_id=None, recipient="nobody@example.org", locale="en"
        )
        session.flush()
        undone.rollback()


def spend_reset(session: Session, token: str, *, now: datetime) -> UUID:
    """Use up the code, and return the account that may set a new password.

    Raises:
        Rejected: it is not good (any more).
    """
    spent = single_use.spend(session, token, "password-reset", now=now)
    if spent is None:
        raise code_not_good()
    return spent.account_id


def set_password(session: Session, account_id: UUID, new_hash: str, *, now: datetime) -> None:
    """Set a password without the old one, after a code from the mailbox. It signs out everywhere;
    `rights.password_reset` ends the rest."""
    account = lock(session, account_id)
    account.password_hash = new_hash
    account.version += 1
    verify_email(account, now)
    tokens.sign_out_everywhere(session, account.id, now)
    _end_what_is_open(session, account.id)
    _post(session, account, letters.RESET_DONE)
    audit.note_own(session, account.id, "password.reset")


def change_password(
    session: Session,
    account: Account,
    *,
    verified: Account,
    new_hash: str,
    keep: UUID,
    now: datetime,
) -> None:
    """Set a new password, which signs out everywhere but in the family `keep`. Lock the account
    first. `verified` is the account as it was when its current password was looked at.

    Raises:
        Rejected: it has another password since then.
    """
    if account.password_hash != verified.password_hash:
        raise wrong_password("/current_password")
    account.password_hash = new_hash
    account.version += 1
    tokens.sign_out_elsewhere(session, account.id, keep, now)
    _end_what_is_open(session, account.id)
    audit.note_own(session, account.id, "account.changed", fields=["password"])


def _end_what_is_open(session: Session, account_id: UUID) -> None:
    """End what was begun with the old password, maybe by a thief."""
    single_use.withdraw(session, account_id)
    oidc.abandon_links(session, account_id)


def request_email_change(
    session: Session, verified: Account, new_email: str, *, now: datetime
) -> None:
    """Mail a code to the new address, which is used only once it has come back. `verified` is the
    account as it was when its current password was looked at.

    Raises:
        Rejected: it is no address, or the account has another password since then.
    """
    new_email = parse_email(new_email)
    account = lock(session, verified.id)
    if account.password_hash != verified.password_hash:
        raise wrong_password("/password")
    token = single_use.make(session, account.id, "email-change", payload=new_email, now=now)
    _post(session, account, letters.CHANGE_EMAIL, recipient=new_email, code=token)


def confirm_email_change(session: Session, token: str, *, now: datetime) -> None:
    """Use the new address from now on, and mail a notice to the old one.

    Raises:
        Rejected: the code is not good (any more).
        Conflict: another account has taken the address meanwhile.
    """
    spent = single_use.spend(session, token, "email-change", now=now)
    if spent is None or spent.payload is None:
        raise code_not_good()
    account = lock(session, spent.account_id)
    old = account.email
    move(session, account, spent.payload)
    account.email_verified_at = now
    account.version += 1
    single_use.withdraw(session, account.id)  # what was sent to the old address is good no more
    _post(session, account, letters.EMAIL_CHANGED, recipient=old)
    audit.note_own(session, account.id, "email.changed")


def _post(
    session: Session,
    account: Account,
    letter: letters.Letter,
    *,
    recipient: str | None = None,
    code: str = "",
) -> None:
    letters.post(
        session,
        letter,
        account_id=account.id,
        recipient=recipient or account.email,
        locale=account.locale,
        code=code,
    )


def code_not_good() -> Rejected:
    return Rejected("This code is not good (any more). Ask for a new one.", code="code-not-good")
