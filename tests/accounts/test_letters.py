"""Mails are in the language of their account, and each text has its translation."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from cymba.accounts.letters import LETTERS, MOST_NOTICES_AN_HOUR, SHARED, notify
from cymba.accounts.profile import register
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork
from cymba.voice import LANGUAGES, Voice


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lines_of_a_mail_are_short(language):
    voice = Voice.of(language)
    lines = [line for letter in LETTERS for line in voice.translate(letter.body).splitlines()]
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize(
    ("locale", "subject"),
    [("de-AT", "Eine Freigabe wurde erstellt"), ("fr", "A share was made")],
)
def test_a_mail_speaks_the_language_of_its_account(engine, locale, subject):
    with UnitOfWork(engine) as session, session.begin():
        account = register(
            session, email="ada@example.org", password="correct horse battery", locale=locale
        )
        notify(session, account.id, SHARED)
    with UnitOfWork(engine) as session:
        assert session.scalars(select(OutgoingMail.subject)).all() == [subject]


def test_an_owner_is_told_so_often_in_an_hour_whatever_the_clock_was_before(engine):
    with UnitOfWork(engine) as session, session.begin():
        account = register(session, email="ada@example.org", password="correct horse battery")
        for _ in range(MOST_NOTICES_AN_HOUR + 5):
            notify(session, account.id, SHARED)
        mails = select(func.count()).select_from(OutgoingMail)
        assert session.scalars(mails).one() == MOST_NOTICES_AN_HOUR
        session.execute(update(OutgoingMail).values(created_at=func.now() + timedelta(hours=2)))
        notify(session, account.id, SHARED)
        assert session.scalars(mails).one() == MOST_NOTICES_AN_HOUR + 1
