"""Sessions that a phone or the person wrote down, and what the person says of devices and days."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.accounts.merging import MergedColumns
from cymba.database import Base


def stimulating_s(duration_s: int, level_changes: Sequence[Mapping[str, int]] | None) -> float:
    """A session's duration, without the time that a phone recorded at level 0."""
    if level_changes is None:
        return float(duration_s)
    return sum(seconds for seconds, level in _levels(duration_s, level_changes) if level > 0)


def _levels(
    duration_s: int, level_changes: Sequence[Mapping[str, int]]
) -> Iterator[tuple[float, int]]:
    ends = [change["offset_s"] for change in level_changes[1:]]
    for change, end in zip(level_changes, [*ends, duration_s], strict=True):
        yield float(end - change["offset_s"]), change["native_level"]


class WrittenFigures:
    """What follows from the fields of a session that was written down."""

    __slots__ = ()
    if TYPE_CHECKING:
        id: Any
        recorder: Any
        device_id: Any
        model: Any
        started_at: Any
        written_at: Any
        duration_s: Any
        native_level: Any
        level_changes: Any
        amplitude_ua: Any
        site: Any
        side: Any
        note: Any
        shown_with: Any

    @property
    def ended_at(self) -> datetime:
        ended_at: datetime = self.started_at + timedelta(seconds=self.duration_s)
        return ended_at

    @property
    def stimulating_s(self) -> float:
        return stimulating_s(self.duration_s, self.level_changes)

    def levels(self) -> Iterator[tuple[float, int]]:
        """For how many seconds it was at which level, as far as that is known."""
        if self.level_changes is not None:
            yield from _levels(self.duration_s, self.level_changes)
        elif self.native_level is not None:
            yield float(self.duration_s), self.native_level

    @property
    def mean_native_level(self) -> float | None:
        """While it stimulated."""
        on = [(seconds, level) for seconds, level in self.levels() if level > 0]
        whole_s = sum(seconds for seconds, _ in on)
        return sum(seconds * level for seconds, level in on) / whole_s if whole_s else None

    @property
    def max_native_level(self) -> int | None:
        return max((level for _, level in self.levels() if level > 0), default=None)

    @property
    def unit(self) -> str:
        """What it was made with: only sessions of one unit can be one and the same."""
        return self.device_id or f"model:{self.model}"


class WrittenSession(WrittenFigures, MergedColumns, Base):
    """A session whose recorder was not the stimulator: a phone's timer, or the person.

    It is of a device that the person held, or of a model alone. What nobody measured is null.
    """

    __tablename__ = "written_session"
    __table_args__ = (
        Index("ix_written_session_account_started", "account_id", "started_at", "id"),
        Index(
            "ix_written_session_shown_with",
            "account_id",
            "shown_with",
            postgresql_where=text("shown_with IS NOT NULL"),
        ),
        Index(
            "ix_written_session_same_as",
            "account_id",
            "same_as",
            postgresql_where=text("same_as IS NOT NULL"),
        ),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("recorder IN ('phone', 'person')", name="recorder"),
        CheckConstraint("(device_id IS NULL) <> (model IS NULL)", name="unit"),
        CheckConstraint("duration_s BETWEEN 1 AND 86400", name="duration"),
        CheckConstraint(
            "deleted_at IS NULL OR (note IS NULL AND same_as IS NULL AND shown_with IS NULL)",
            name="tombstone",
        ),
    )

    recorder: Mapped[str] = mapped_column(String(8))
    device_id: Mapped[str | None] = mapped_column(ForeignKey("device.id"))
    model: Mapped[str | None] = mapped_column(String(32))
    started_at: Mapped[datetime]
    time_zone: Mapped[str] = mapped_column(String(64))  # IANA, where it took place
    duration_s: Mapped[int]
    native_level: Mapped[int | None]
    # Of a phone: [{"offset_s": 0, "native_level": 3}, …], from the start on.
    level_changes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    amplitude_ua: Mapped[int | None]
    site: Mapped[str | None] = mapped_column(String(16))
    side: Mapped[str | None] = mapped_column(String(8))
    note: Mapped[str | None] = mapped_column(Text)
    excluded: Mapped[bool] = mapped_column(default=False)
    # The person's own word: the session that this one is; its own id: it is no other.
    same_as: Mapped[UUID | None]
    # The session that it is shown and counted as; null: as itself. `witnesses` derives it.
    shown_with: Mapped[UUID | None]


class Remark(MergedColumns, Base):
    """What the person says of a device or a day: an electrode was changed, there was no session."""

    __tablename__ = "remark"
    __table_args__ = (
        Index("ix_remark_account_said_of", "account_id", "said_of"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("what IN ('electrode_changed', 'no_session', 'put_away')", name="what"),
        CheckConstraint("deleted_at IS NULL OR note IS NULL", name="tombstone"),
    )

    what: Mapped[str] = mapped_column(String(24))
    said_of: Mapped[datetime]  # the moment that it is about
    time_zone: Mapped[str] = mapped_column(String(64))  # IANA, where that was
    device_id: Mapped[str | None] = mapped_column(ForeignKey("device.id"))
    model: Mapped[str | None] = mapped_column(String(32))
    note: Mapped[str | None] = mapped_column(Text)
