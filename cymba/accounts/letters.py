"""The mails that people get, in their language: `locale/*/letters.po` has the translations."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.accounts import outbox
from cymba.accounts.tables import Account, OutgoingMail
from cymba.voice import Voice

MOST_NOTICES_AN_HOUR = 20  # whoever has had so many knows; and nobody is flooded by an account


class Letter(NamedTuple):
    subject: str
    body: str


_IF_NOT_YOU = """
If this was not you, ask for a new password in the app: that ends every sign-in, share, code and
link to a provider that your account has.
"""

SIGN_UP = Letter(
    "Confirm this address",
    """\
To make an account with this address, enter this code in the app within an hour:

    {code}

If you did not ask for this, ignore this mail.
""",
)
HAS_ACCOUNT = Letter(
    "You have an account",
    """\
Somebody, probably you, asked for a new account with this address. It has one already: sign in, or
ask for a new password in the app.

If it was not you, you need not do anything.
""",
)
RESET = Letter(
    "Set a new password",
    """\
Somebody, probably you, asked for a new password for your account. Enter this code in the app
within an hour:

    {code}

If it was not you, you need not do anything: your password stays as it is.
""",
)
RESET_DONE = Letter(
    "Your password was changed",
    """\
A new password was set for your account. It was signed out everywhere; its shares, its links to
other providers and codes that hand a device on have ended: make those anew that you want. If this
was not you, ask for a new password and write to whoever runs this service.
""",
)
CHANGE_EMAIL = Letter(
    "Confirm this address",
    """\
To use this address for your account from now on, enter this code in the app within an hour:

    {code}

If you did not ask for this, ignore this mail.
""",
)
EMAIL_CHANGED = Letter(
    "Your address was changed",
    """\
From now on your account uses another address. If this was not you, set a new password and write
to whoever runs this service.
""",
)
LINKED = Letter(
    "A sign-in was linked",
    "From now on a sign-in at another provider opens your account too.\n" + _IF_NOT_YOU,
)
SHARED = Letter(
    "A share was made",
    "Whoever holds it can read parts of what your account keeps; the app lists all shares, and\n"
    "ends them.\n" + _IF_NOT_YOU,
)
APP_ALLOWED = Letter(
    "An app was let in",
    "Another app can read parts of what your account keeps. Your own app lists it under your\n"
    "shares, and ends it.\n" + _IF_NOT_YOU,
)
HANDED_ON = Letter(
    "A device can be handed on",
    "A claim code was made for a device of yours: whoever enters it becomes its holder.\n"
    + _IF_NOT_YOU,
)
LETTERS = (
    SIGN_UP,
    HAS_ACCOUNT,
    RESET,
    RESET_DONE,
    CHANGE_EMAIL,
    EMAIL_CHANGED,
    LINKED,
    SHARED,
    APP_ALLOWED,
    HANDED_ON,
)


def post(
    session: Session,
    letter: Letter,
    *,
    account_id: UUID | None,
    recipient: str,
    locale: str,
    code: str = "",
) -> None:
    """Put it into the outbox, with the transaction of what it tells of."""
    voice = Voice.of(locale)
    outbox.enqueue(
        session,
        account_id=account_id,
        recipient=recipient,
        subject=voice.translate(letter.subject),
        body=voice.say(letter.body, code=code),
    )


def notify(session: Session, account_id: UUID, letter: Letter) -> None:
    """Tell an account's owner what was done with it, in case a thief did it."""
    # None from ahead: a clock that was put back would hold up all others until then.
    recent = OutgoingMail.created_at.between(func.now() - timedelta(hours=1), func.now())
    query = select(func.count()).where(OutgoingMail.account_id == account_id, recent)
    if session.scalars(query).one() >= MOST_NOTICES_AN_HOUR:
        return
    to = select(Account.email, Account.locale).where(Account.id == account_id)
    recipient, locale = session.execute(to).one()
    post(session, letter, account_id=account_id, recipient=recipient, locale=locale)
