"""Accounts: signing in, what a person agreed to and shared, and the order of their changes."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column, validates

import cymba.accounts.references  # noqa: F401 - for rows of these tables
from cymba.accounts import addresses
from cymba.database import Base, CreatedAt, UtcDateTime


class Account(Base):
    __tablename__ = "account"
    __table_args__ = (
        Index("uq_account_email_lower", text("lower(email)"), unique=True),
        Index("uq_account_email_key", "email_key", unique=True),
        CheckConstraint("role IN ('person', 'clinician', 'operator')", name="role"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(320))
    # The same for all spellings of the address; null if an older account has the key.
    email_key: Mapped[str | None] = mapped_column(Text)
    email_verified_at: Mapped[datetime | None]  # when a code came back from the mailbox
    password_hash: Mapped[str | None] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200), default="")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")  # IANA
    # The zones before it, each with when it ended: what the person did by then was in their time.
    past_zones: Mapped[list[dict[str, str]]] = mapped_column(
        JSONB, default=list, server_default=text("'[]'")
    )
    locale: Mapped[str] = mapped_column(String(100), default="en")  # BCP 47
    role: Mapped[str] = mapped_column(String(16), default="person")
    version: Mapped[int] = mapped_column(default=1)  # of the account itself, for its ETag
    # Counts this account's changes. Raised as the last statement before COMMIT, so that numbers
    # appear in the order in which transactions become visible and a sync cursor skips none.
    change_counter: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[CreatedAt]

    @validates("email")
    def _set_key(self, _name: str, email: str) -> str:
        self.email_key = addresses.key(email)
        return email


class AccountAddress(Base):
    """Whose an e-mail address is: an account has one row (`address_directory`).

    It is a table of its own because on several nodes an account lies by its id. So no key of
    `account` holds for all addresses, and none says where the account of an address lies.
    """

    __tablename__ = "account_address"

    # The address's key; of an account without that (`Account.email_key`) the address as written,
    # in small letters.
    address: Mapped[str] = mapped_column(Text, primary_key=True)
    is_key: Mapped[bool] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )


class AccountIdUsed(Base):
    """The id of an account that exists or existed; no other gets it (`audit_guard`)."""

    __tablename__ = "account_id_used"

    id_sha256: Mapped[bytes] = mapped_column(primary_key=True)


class RefreshToken(Base):
    """One link of a chain of rotations. Using a spent one revokes the whole family, with one
    exception (`cymba/accounts/tokens.py`)."""

    __tablename__ = "refresh_token"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    family_id: Mapped[UUID] = mapped_column(index=True)
    signed_in_at: Mapped[datetime | None]  # when the family began
    proved_at: Mapped[
        datetime | None
    ]  # when the family last gave a password, or signed in at a provider
    token_hash: Mapped[bytes] = mapped_column(unique=True)  # SHA-256
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]
    successor_id: Mapped[UUID | None]  # what it was spent for; null: for nothing, or not spent
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class RateLimit(Base):
    """A leaky bucket (`rate_limiter`); `key` is a hash of what it counts."""

    __tablename__ = "rate_limit"
    __table_args__ = (CheckConstraint("level >= 0", name="level"),)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    level: Mapped[float] = mapped_column(Float(53), default=0.0)  # what was counted, leaking away
    updated_at: Mapped[datetime] = mapped_column(index=True)
    succeeded_at: Mapped[datetime | None]  # of a place that signs in (`throttle`)


class KeptAnswer(Base):
    """What a request was answered that may be sent again (`kept_answers`)."""

    __tablename__ = "kept_answer"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    key_hash: Mapped[bytes] = mapped_column(primary_key=True)  # HMAC-SHA256
    request_hash: Mapped[bytes]  # ditto
    answer: Mapped[bytes]  # sealed
    needs_proof: Mapped[bool]
    kept_at: Mapped[datetime] = mapped_column(index=True)


class Change(Base):
    """The latest change of each thing that an account's apps mirror."""

    __tablename__ = "change"
    __table_args__ = (
        Index("ix_change_account_id_number", "account_id", "number", unique=True),
        # For retention, which looks for old tombstones.
        Index("ix_change_tombstone", "changed_at", postgresql_where=text("deleted")),
        CheckConstraint("number > 0", name="number"),
    )

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    entity_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool] = mapped_column(default=False)
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Consent(Base):
    """A person's consent to one purpose, with the text that they read. Withdrawn, never edited."""

    __tablename__ = "consent"
    __table_args__ = (
        Index(
            "uq_consent_standing",
            "account_id",
            "purpose",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        CheckConstraint("withdrawn_at IS NULL OR withdrawn_at >= given_at", name="order"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    purpose: Mapped[str] = mapped_column(String(32))
    text_version: Mapped[int]  # its edition
    text_language: Mapped[str] = mapped_column(String(8), server_default="en")  # as it was read
    text_sha256: Mapped[str] = mapped_column(String(64))
    given_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who saw or changed what of a person's data. Append-only (`audit_guard`), except for erasure
    and retention. Divided by months (`audit_months`)."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        PrimaryKeyConstraint("id", "at"),  # a divided table's keys hold what it is divided by
        Index("ix_audit_entry_account_id_id", "account_id", "id"),
        # For a viewer's own erasure, which looks for them in the logs of others.
        Index(
            "ix_audit_entry_clinician",
            text("(detail ->> 'clinician')"),
            postgresql_where=text("(detail ->> 'clinician') IS NOT NULL"),
        ),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    # In the archive that an import brought it in with, whose word this is.
    claimed_at: Mapped[datetime | None]
    actor_kind: Mapped[str] = mapped_column(String(16))  # person, share, operator, system
    actor_id: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))  # "sessions.read", "consent.withdrawn" …
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Share(Base):
    """Read access to parts of a person's data, for the holder of its token."""

    __tablename__ = "share"
    __table_args__ = (CheckConstraint("cardinality(scopes) >= 1", name="scopes"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    label: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(16)))
    token_hash: Mapped[bytes] = mapped_column(unique=True)  # SHA-256
    # The key of an address. If it is set, only this clinician's account can use the token.
    clinician_email: Mapped[str | None] = mapped_column(String(320))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ShareHolder(Base):
    """That an account keeps another's share, and opens it without its token."""

    __tablename__ = "share_holder"

    share_id: Mapped[UUID] = mapped_column(
        ForeignKey("share.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    attached_at: Mapped[datetime]


class SingleUseToken(Base):
    """A code that is valid for one purpose once."""

    __tablename__ = "single_use_token"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)  # SHA-256
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    purpose: Mapped[str] = mapped_column(String(32))
    payload: Mapped[str | None] = mapped_column(String(320))  # the new address, for one
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OutgoingMail(Base):
    """The outbox: a mail is stored in the transaction of its cause, and sent after the commit."""

    __tablename__ = "outgoing_mail"
    __table_args__ = (
        Index(
            "ix_outgoing_mail_turn",
            "recipient",
            "next_try_at",
            postgresql_where=text("sent_at IS NULL AND tries < 12"),
        ),
        # For retention.
        Index("ix_outgoing_mail_sent", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    recipient: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class ProviderIdentity(Base):
    """A sign-in at another provider (OpenID Connect) that opens this account."""

    __tablename__ = "provider_identity"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[CreatedAt]


class ErasureLedger(Base):
    """An erased account, by its pseudonym only; replayed after a backup is restored."""

    __tablename__ = "erasure_ledger"

    pseudonym: Mapped[bytes] = mapped_column(primary_key=True)  # keyed BLAKE2b of the account's id
    erased_at: Mapped[datetime]
    rows_erased: Mapped[dict[str, Any]] = mapped_column(JSONB)


class ErasureReceipt(Base):
    """What an erased person was told (`rights.receipts`); names nobody."""

    __tablename__ = "erasure_receipt"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)  # SHA-256
    erased_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    told: Mapped[dict[str, Any]] = mapped_column(JSONB)


class OidcFlow(Base):
    """A sign-in begun at a provider. When it comes back it gets another `state_hash`, so that it
    comes back once, and is removed when it has signed in."""

    __tablename__ = "oidc_flow"

    state_hash: Mapped[bytes] = mapped_column(primary_key=True)  # SHA-256
    provider: Mapped[str | None] = mapped_column(String(32))  # null: before there were several
    nonce: Mapped[str] = mapped_column(String(64))
    code_verifier: Mapped[str] = mapped_column(String(128))
    # The account to which the provider is linked; null: it is a sign-in.
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    expires_at: Mapped[datetime] = mapped_column(index=True)


# What the version before counts in. Nothing here does; the next version drops both.
retired_sign_in_bucket = Table(
    "sign_in_bucket",
    Base.metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("level", Float(53), CheckConstraint("level >= 0", name="level"), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False, index=True),
    Column("succeeded_at", UtcDateTime),
)
retired_claim_guesses = Table(
    "claim_guesses",
    Base.metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("level", Float(53), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
