"""Mails are in the language of their account, and each text has its translation."""

from string import Formatter

import pytest
from sqlalchemy import select

from cymba.accounts.letters import LETTERS, SHARED, notify
from cymba.accounts.profile import register
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork
from cymba.voice import LANGUAGES, Voice

TEXTS = [text for letter in LETTERS for text in letter]


def places(template):
    return [name for _, name, _, _ in Formatter().parse(template) if name]


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
@pytest.mark.parametrize("text", TEXTS)
def test_every_text_is_translated_with_the_same_places(text, language):
    translated = Voice.of(language).translate(text)
    assert translated != text
    assert places(translated) == places(text)
    assert all(len(line) <= 100 for line in translated.splitlines())


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
