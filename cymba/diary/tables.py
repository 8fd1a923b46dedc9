"""Diary entries, and the prompts a person wants for them."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.accounts.merging import MergedColumns
from cymba.database import Base


class DiaryEntry(MergedColumns, Base):
    """What a person says about one moment: any number of items, and a note."""

    __tablename__ = "diary_entry"
    __table_args__ = (
        Index("ix_diary_entry_account_id_felt_at", "account_id", "felt_at", "id"),
        Index(
            "uq_diary_entry_import_digest",
            "account_id",
            "import_digest",
            unique=True,
            postgresql_where=text("import_digest IS NOT NULL"),
        ),
        Index(
            "ix_diary_entry_import_id",
            "account_id",
            "import_id",
            postgresql_where=text("import_id IS NOT NULL"),
        ),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("deleted_at IS NULL OR (items = '{}' AND note IS NULL)", name="tombstone"),
    )

    felt_at: Mapped[datetime]
    time_zone: Mapped[str] = mapped_column(String(64))  # IANA, where it was felt
    session_id: Mapped[UUID | None]
    items: Mapped[dict[str, Any]] = mapped_column(JSONB)
    # Of the items, by a trigger, for reads of many entries: see `ratings`.
    ratings: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''"), deferred=True)
    note: Mapped[str | None] = mapped_column(Text)
    # Of one that came from another app: with which import, and the digest of the row that said it.
    # Its hour or its scale may be an assumption, so insights do not use it.
    import_id: Mapped[UUID | None]
    import_digest: Mapped[bytes | None] = mapped_column(LargeBinary)


class ReadEntry(NamedTuple):
    """An entry that is only shown: an object of the ORM costs ten times as much."""

    id: UUID
    felt_at: datetime
    time_zone: str
    session_id: UUID | None
    items: dict[str, Any]
    note: str | None
    import_id: UUID | None
    written_at: datetime
    version: int
    changed_at: datetime


class Reminder(MergedColumns, Base):
    """A prompt at local times of day: it follows the person's zone over DST and travel.

    at_usual_hour: not at these times, but when a session usually begins, on days without one.
    Ratings at sessions alone would show links that are not there (docs/calibration.md).
    """

    __tablename__ = "reminder"
    __table_args__ = (
        CheckConstraint("cardinality(weekdays) BETWEEN 1 AND 7", name="weekdays"),
        CheckConstraint("cardinality(local_times) BETWEEN 1 AND 24", name="local_times"),
    )

    title: Mapped[str] = mapped_column(String(100))
    local_times: Mapped[list[str]] = mapped_column(ARRAY(String(5)))  # "HH:MM"
    weekdays: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # ISO: 1 is Monday
    items: Mapped[list[str]] = mapped_column(ARRAY(String(64)))
    enabled: Mapped[bool] = mapped_column(default=True)
    at_usual_hour: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # The version before knew neither of these.
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())
    field_versions: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"))
