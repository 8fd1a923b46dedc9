"""Findings as they were last shown, and what they were computed from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base


class InsightState(Base):
    """What an account's findings were last computed from, so as not to compute them again."""

    __tablename__ = "insight_state"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    at_change: Mapped[int] = mapped_column(BigInteger)  # the account's change counter then
    input_hash: Mapped[str] = mapped_column(String(64))
    method_version: Mapped[str] = mapped_column(String(16))
    computed_at: Mapped[datetime]


class Finding(Base):
    """One pair of exposure and outcome at one lag, as of its last milestone.

    Effects are in the outcome's points between the person's higher and lower days. `looks` keeps
    every milestone's numbers with the hash of its inputs, so that each can be made again.
    """

    __tablename__ = "finding"
    __table_args__ = (
        CheckConstraint(
            "grade IN ('collecting', 'not_enough', 'no_clear_link', 'early_signal',"
            " 'moderate', 'strong', 'tested')",
            name="grade",
        ),
        CheckConstraint("tier IN ('primary', 'exploratory')", name="tier"),
        CheckConstraint("lag BETWEEN 0 AND 7", name="lag"),
    )

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    exposure: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(64), primary_key=True)
    lag: Mapped[int] = mapped_column(primary_key=True)
    tier: Mapped[str] = mapped_column(String(16))
    grade: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[str]] = mapped_column(JSONB)
    milestone: Mapped[int]  # complete pairs it rests on; 0 before the first milestone
    pairs_now: Mapped[int]
    days: Mapped[int]
    exposure_coverage: Mapped[float] = mapped_column(Float(53))
    outcome_coverage: Mapped[float] = mapped_column(Float(53))
    effect: Mapped[float | None] = mapped_column(Float(53))
    low: Mapped[float | None] = mapped_column(Float(53))
    high: Mapped[float | None] = mapped_column(Float(53))
    contrast: Mapped[float | None] = mapped_column(Float(53))  # in the exposure's unit
    sequential_p: Mapped[float | None] = mapped_column(Float(53))
    more_days_low: Mapped[int | None]
    more_days_high: Mapped[int | None]
    looks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    method_version: Mapped[str] = mapped_column(String(16))
    input_hash: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]
