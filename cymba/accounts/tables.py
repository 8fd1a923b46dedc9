"""Accounts, their refresh tokens, and the counter that orders every change for sync."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base, CreatedAt


class Account(Base):
    __tablename__ = "account"
    __table_args__ = (
        Index("uq_account_email_lower", text("lower(email)"), unique=True),
        CheckConstraint("role IN ('person', 'clinician', 'operator')", name="role"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(320))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200), default="")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")  # IANA
    locale: Mapped[str] = mapped_column(String(35), default="en")  # BCP 47
    role: Mapped[str] = mapped_column(String(16), default="person")
    version: Mapped[int] = mapped_column(default=1)  # of the account itself, for its ETag
    # Counts this account's changes. Raised as the last statement before COMMIT, so that numbers
    # appear in the order in which transactions become visible and a sync cursor skips none.
    change_counter: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[CreatedAt]


class RefreshToken(Base):
    """One link of a chain of rotations; using a spent one revokes the whole family."""

    __tablename__ = "refresh_token"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    family_id: Mapped[UUID] = mapped_column(index=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)  # SHA-256
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class SignInBucket(Base):
    """A leaky bucket of failed sign-ins; `key` is a keyed hash of what it counts."""

    __tablename__ = "sign_in_bucket"
    __table_args__ = (CheckConstraint("level >= 0", name="level"),)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    level: Mapped[float] = mapped_column(Float(53), default=0.0)  # failures, leaking away
    updated_at: Mapped[datetime] = mapped_column(index=True)
    succeeded_at: Mapped[datetime | None]


class Change(Base):
    """The latest change of each thing an account's app keeps a copy of."""

    __tablename__ = "change"
    __table_args__ = (
        Index("ix_change_account_id_number", "account_id", "number", unique=True),
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
