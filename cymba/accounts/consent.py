"""What a person agrees to: one versioned text for each purpose, which decides something here.

That Cymba keeps sessions and the diary is no such purpose: it does so for as long as there is an
account, and erases them with it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.accounts.tables import Consent
from cymba.errors import Forbidden, NotFound, PreconditionFailed


@dataclass(frozen=True, slots=True)
class Purpose:
    name: str
    title: str
    version: int  # +1 with every change of the text: people are asked again
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


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


def standing(session: Session, account_id: UUID) -> dict[str, Consent]:
    """The consents in force, by purpose."""
    query = select(Consent).where(Consent.account_id == account_id, Consent.withdrawn_at.is_(None))
    return {consent.purpose: consent for consent in session.scalars(query)}


def history(session: Session, account_id: UUID) -> list[Consent]:
    query = select(Consent).where(Consent.account_id == account_id)
    return list(session.scalars(query.order_by(Consent.given_at, Consent.purpose)))


def give(session: Session, account_id: UUID, name: str, *, version: int, now: datetime) -> Consent:
    """Agree to a purpose in the version that was read.

    Raises:
        NotFound: there is no such purpose.
        PreconditionFailed: the text has changed since it was read.
    """
    purpose = purpose_of(name)
    if version != purpose.version:
        raise PreconditionFailed("The text has changed: read it again before you agree.")
    current = standing(session, account_id).get(name)
    if current is not None and current.text_version == purpose.version:
        return current
    if current is not None:
        current.withdrawn_at = now  # of the older text; the newer one replaces it
        session.flush()
    consent = Consent(
        account_id=account_id,
        purpose=name,
        text_version=purpose.version,
        text_sha256=purpose.sha256,
        given_at=now,
    )
    session.add(consent)
    session.flush()
    note_own(session, account_id, "consent.given", purpose=name, version=version)
    return consent


def require(session: Session, account_id: UUID, name: str) -> None:
    """Raise `Forbidden` unless the person has agreed to the purpose as it reads today."""
    current = standing(session, account_id).get(name)
    if current is None or current.text_version != purpose_of(name).version:
        raise Forbidden(
            f"This needs your consent: {purpose_of(name).title}.", code="consent-required"
        )


def purpose_of(name: str) -> Purpose:
    """The purpose of that name, or `NotFound`."""
    if name not in PURPOSES:
        raise NotFound("There is no such purpose.")
    return PURPOSES[name]
