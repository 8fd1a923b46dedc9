"""What a person agrees to: one versioned text for each purpose, which decides something here.

That Cymba keeps sessions and the diary is no such purpose: it does so for as long as there is an
account, and erases them with it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Uuid, bindparam, select, update
from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.accounts.changes import announce
from cymba.accounts.tables import Consent
from cymba.database import Prepared, columns_of, line_of
from cymba.errors import Forbidden, NotFound, PreconditionFailed
from cymba.text_version import TextVersion
from cymba.voice import LANGUAGES, Voice, said


@dataclass(frozen=True, slots=True)
class Purpose:
    name: str
    title: str
    edition: int  # +1 with every change of the text: people are asked again
    text: str

    def version_in(self, language: str) -> TextVersion:
        return TextVersion(self.edition, language)

    def sha256_in(self, language: str) -> str:
        """Of the text as it is read in a language."""
        return hashlib.sha256(Voice.of(language).translate(self.text).encode()).hexdigest()


PURPOSES: dict[str, Purpose] = {
    purpose.name: purpose
    for purpose in (
        Purpose(
            "insights",
            "Looking for links between sessions and symptoms",
            1,
            "Cymba compares your sessions with your diary and shows you what it finds, and how "
            "sure it is. A link is not a cause, and none of it is medical advice.",
        ),
        Purpose(
            "research",
            "Pseudonymous use in studies",
            1,
            "Your data, without your name and address and under a pseudonym, may be part of "
            "summaries over many people. You can withdraw at any time; summaries that were "
            "already made cannot be undone.",
        ),
    )
}


class StandingConsent(NamedTuple):
    """A consent in force."""

    purpose: str
    text_version: int
    text_language: str
    text_sha256: str
    given_at: datetime
    withdrawn_at: None


_STANDING = Prepared(
    select(*columns_of(Consent, StandingConsent)).where(
        Consent.account_id == bindparam("account_id", type_=Uuid()),
        Consent.withdrawn_at.is_(None),
    )
)


def standing(line: psycopg.Connection[Any], account_id: UUID) -> dict[str, StandingConsent]:
    """The consents in force, by purpose."""
    rows = map(StandingConsent._make, _STANDING.rows(line, account_id=account_id))
    return {one.purpose: one for one in rows}


def history(session: Session, account_id: UUID) -> list[Consent]:
    query = select(Consent).where(Consent.account_id == account_id)
    return list(session.scalars(query.order_by(Consent.given_at, Consent.purpose)))


def give(
    session: Session, account_id: UUID, name: str, *, version: str, now: datetime
) -> Consent | StandingConsent:
    """Agree to a purpose in the version that was read, such as `1/de`.

    A consent that stands is kept, whatever language it was read in.

    Raises:
        NotFound: there is no such purpose.
        PreconditionFailed: the text has changed since it was read, or there is no such version.
    """
    purpose = purpose_of(name)
    read = TextVersion.parse(version)
    if read is None or read.edition != purpose.edition or read.language not in LANGUAGES:
        raise PreconditionFailed("The text has changed: read it again before you agree.")
    current = standing(line_of(session), account_id).get(name)
    if current is not None and current.text_version == purpose.edition:
        return current
    end(session, account_id, name, now)  # one of the older text: the newer one replaces it
    consent = Consent(
        account_id=account_id,
        purpose=name,
        text_version=read.edition,
        text_language=read.language,
        text_sha256=purpose.sha256_in(read.language),
        given_at=now,
    )
    session.add(consent)
    session.flush()
    note_own(session, account_id, "consent.given", purpose=name, version=str(read))
    announce(session, account_id, "consent", name)
    return consent


def end(session: Session, account_id: UUID, name: str, now: datetime) -> bool:
    """Whether one stood."""
    ended = (
        update(Consent)
        .where(
            Consent.account_id == account_id,
            Consent.purpose == name,
            Consent.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now)
        .returning(Consent.purpose)
    )
    return session.scalar(ended) is not None


def is_given(line: psycopg.Connection[Any], account_id: UUID, name: str) -> bool:
    """Whether the person has agreed to the purpose as it reads today."""
    current, edition = standing(line, account_id).get(name), purpose_of(name).edition
    return current is not None and current.text_version == edition


def require(line: psycopg.Connection[Any], account_id: UUID, name: str) -> None:
    """Raise `Forbidden` unless `is_given`."""
    if not is_given(line, account_id, name):
        raise Forbidden(
            said("This needs your consent: {purpose}.", purpose=purpose_of(name).title),
            code="consent-required",
        )


def purpose_of(name: str) -> Purpose:
    """The purpose of that name, or `NotFound`."""
    if name not in PURPOSES:
        raise NotFound("There is no such purpose.")
    return PURPOSES[name]
