"""What sync must remember: the operations it has answered, and how far back cursors reach."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    SmallInteger,
    Uuid,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base

NEVER_RESTORED = UUID(int=0)


class SyncOperation(Base):
    """What became of an operation, kept in its own transaction: a retry gets the same answer.

    `answer` has `digest` and `version` where it was applied; the rest is for what builds on it.
    """

    __tablename__ = "sync_operation"
    __table_args__ = (Index("ix_sync_operation_answered_at", "answered_at"),)

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    answered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SyncHorizon(Base):
    """The number up to which an account's tombstones are pruned: older cursors have expired."""

    __tablename__ = "sync_horizon"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    pruned_through: Mapped[int] = mapped_column(BigInteger)


class SyncEpoch(Base):
    """One row. A restored backup gets a new epoch, so that cursors from its lost future expire."""

    __tablename__ = "sync_epoch"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, default=1, autoincrement=False)
    epoch: Mapped[UUID] = mapped_column(default=uuid4)
    began_at: Mapped[datetime] = mapped_column(server_default=func.now())


EPOCH: ColumnElement[UUID] = func.coalesce(
    select(SyncEpoch.epoch).scalar_subquery(), cast(NEVER_RESTORED, Uuid())
)
