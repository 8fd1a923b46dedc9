"""Findings as they were last shown, with what they were computed from; trials of one's own."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, String, func, text
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
    # Of grade `tested`: the result of the person's own trial, which the effect then is.
    trial: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    method_version: Mapped[str] = mapped_column(String(16))
    input_hash: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]


class Experiment(Base):
    """A randomised trial of one's own: a plan that was sealed before its start, and its result."""

    __tablename__ = "experiment"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'stopped', 'finished')", name="status"),
        CheckConstraint("pairs BETWEEN 6 AND 40", name="pairs"),
        CheckConstraint("block_days BETWEEN 1 AND 14", name="block_days"),
        CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="ended"),
        Index(
            "uq_experiment_running",
            "account_id",
            unique=True,
            postgresql_where=text("status = 'running'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    outcome: Mapped[str] = mapped_column(String(64))
    pairs: Mapped[int]
    block_days: Mapped[int]
    first_day: Mapped[date]
    time_zone: Mapped[str] = mapped_column(String(64))  # by whose wall clock its days run
    plan: Mapped[dict[str, Any]] = mapped_column(JSONB)  # all that was sealed, as it was sealed
    seal: Mapped[str] = mapped_column(String(64))  # SHA-256 of the seed and the plan, published
    # Revealed once the trial has ended. Empty of a stopped one that came in an archive from another
    # Cymba while it ran: the seed stayed there.
    seed: Mapped[bytes]
    status: Mapped[str] = mapped_column(String(16), default="running")
    stop_reason: Mapped[str | None] = mapped_column(String(200))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(default=1)
    sealed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    # While it runs: when its next block ends, so that no round looks at all trials.
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # That the device is to stay as the trial left it; null again once another block is agreed to.
    declined_at: Mapped[datetime | None]


class ExperimentBlock(Base):
    """One block of a trial: whether the person agreed to its programme, and what became of it."""

    __tablename__ = "experiment_block"

    experiment_id: Mapped[UUID] = mapped_column(
        ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    agreed_at: Mapped[datetime]
    programme_version: Mapped[int]  # of the device's programme that was set for it
