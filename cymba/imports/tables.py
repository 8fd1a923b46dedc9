"""What people bring from elsewhere: the imports, their files while they wait, and the readings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    TextClause,
    and_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base

STATES: Final = (
    "uploading", "waiting", "read", "storing", "stored", "undoing", "undone", "failed",
)  # fmt: skip
OPEN: Final = ("uploading", "waiting", "read", "storing", "undoing")
FOR_WORKERS: Final = ("waiting", "storing", "undoing")


def _is_in(states: Sequence[str]) -> TextClause:
    return text(f"state IN ({', '.join(map(repr, states))})")


class DataImport(Base):
    """One file that a person brings: everything that it brought is undone as one.

    uploading → waiting (for a worker to read it) → read (to be confirmed) → storing → stored.
    undoing → undone, from each of them. failed: nothing of the file can be taken.
    """

    __tablename__ = "data_import"
    __table_args__ = (
        CheckConstraint(_is_in(STATES), name="state"),
        Index("ix_data_import_account_id_created_at", "account_id", "created_at", "id"),
        # One at a time, so that what one finds to be here already does not go with another.
        Index("uq_data_import_open", "account_id", unique=True, postgresql_where=_is_in(OPEN)),
        Index("ix_data_import_waiting", "changed_at", "id", postgresql_where=_is_in(FOR_WORKERS)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    name: Mapped[str | None] = mapped_column(String(200))  # of the file
    bytes: Mapped[int] = mapped_column(BigInteger)
    time_zone: Mapped[str] = mapped_column(String(64))  # IANA, of days and of hours without a zone
    state: Mapped[str] = mapped_column(String(16))
    format: Mapped[str | None] = mapped_column(String(24))
    mapping: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    preview: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    failure: Mapped[str | None] = mapped_column(String(32))
    kept: Mapped[int | None]  # entries that the person had changed, and undoing left to them
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class ImportPiece(Base):
    """A piece of the file, until it is stored, undone or given up.

    In the database, so that whichever process reads it, nothing lies elsewhere, and erasing a
    person erases it too.
    """

    __tablename__ = "import_piece"

    import_id: Mapped[UUID] = mapped_column(
        ForeignKey("data_import.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)  # from 0
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImportedReading(Base):
    """A reading of a watch or another sensor. Only those of a stored import are shown."""

    __tablename__ = "imported_reading"
    __table_args__ = (
        CheckConstraint("(value IS NULL) <> (stage IS NULL)", name="value"),
        Index("ix_imported_reading_import", "account_id", "import_id"),
    )

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    import_id: Mapped[UUID]
    ended_at: Mapped[datetime]
    value: Mapped[float | None]
    stage: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(100))


# By both, since all of an account lies together, and an id alone may lie anywhere.
BROUGHT_BY: Final = and_(
    DataImport.account_id == ImportedReading.account_id, DataImport.id == ImportedReading.import_id
)
"""Which import brought a reading."""
