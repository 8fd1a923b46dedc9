"""Devices, their holders, clock anchors, presence, programmes and screenings."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    String,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base, CreatedAt
from cymba.settings import FIRST_CELL


class Device(Base):
    """A provisioned stimulator. Its id is its MQTT user name, client id and topic level."""

    __tablename__ = "device"
    __table_args__ = (CheckConstraint("id ~ '^[A-Za-z0-9_-]{8,32}$'", name="id_form"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    serial: Mapped[str] = mapped_column(String(32), unique=True)
    model: Mapped[str] = mapped_column(String(32))  # a name of cymba/devices/catalogue.py
    secret_hash: Mapped[str | None] = mapped_column(String(200))  # PBKDF2, as Mosquitto writes it
    claim_code_hash: Mapped[bytes | None]  # SHA-256; null once it is used
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[datetime | None]
    # Programme versions up to this one were an erased person's. They are gone, but the device
    # ignores a version that is not above the one it holds.
    erased_ver: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    cell: Mapped[str] = mapped_column(String(31), default=FIRST_CELL, server_default=FIRST_CELL)
    # `at` of the last relocation that was signed for it, followed or not.
    last_move_ms: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Cell(Base):
    """A broker with its bridges (`cells`). The first one needs no row until devices move to it."""

    __tablename__ = "cell"
    __table_args__ = (CheckConstraint("name ~ '^[a-z][a-z0-9]{0,30}$'", name="name_form"),)

    name: Mapped[str] = mapped_column(String(31), primary_key=True)
    address: Mapped[str] = mapped_column(String(200))  # mqtt[s]://host[:port], as devices reach it
    added_at: Mapped[datetime]


class CellMove(Base):
    """A device that is to come to another cell (`moving`). The row goes when it has come."""

    __tablename__ = "cell_move"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    to_cell: Mapped[str] = mapped_column(String(31), index=True)
    # The message that tells the device (`messages.Relocation`).
    at_ms: Mapped[int] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(200))
    signature: Mapped[str] = mapped_column(String(100))
    # Since when the new broker has the device's newest programme. Only then may the device come.
    ready_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]  # when the old broker was given the message


class DeviceModel(Base):
    """One version of a model that an operator has added; the highest holds (`catalogue`)."""

    __tablename__ = "device_model"
    __table_args__ = (CheckConstraint("version >= 1", name="version"),)

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)  # of `models.Model`
    added_at: Mapped[datetime]
    added_by: Mapped[str] = mapped_column(String(64))  # the operator's name


class DeviceSuspension(Base):
    """A device that may not connect for a while; its secret's hash is kept here."""

    __tablename__ = "device_suspension"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(200))
    until: Mapped[datetime] = mapped_column(index=True)


class DeviceTenure(Base):
    """Who held a device from when to when: sessions belong to the holder at their time."""

    __tablename__ = "device_tenure"
    __table_args__ = (
        Index(
            "uq_device_tenure_held",
            "device_id",
            unique=True,
            postgresql_where=text("released_at IS NULL"),
        ),
        CheckConstraint("released_at IS NULL OR released_at >= claimed_at", name="order"),
        CheckConstraint("account_id IS NOT NULL OR released_at IS NOT NULL", name="holder"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    # Null once that account is erased. The time stays taken, so that late frames of it belong to
    # nobody, not to the next holder.
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("account.id", ondelete="SET NULL"), index=True
    )
    name: Mapped[str] = mapped_column(String(100), default="")  # the person's own
    version: Mapped[int] = mapped_column(default=1)
    claimed_at: Mapped[datetime]
    released_at: Mapped[datetime | None]


class DevicePresence(Base):
    """A device's last presence message; `boot` and `sent_ms` order its connections."""

    __tablename__ = "device_presence"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    online: Mapped[bool]
    store: Mapped[int] = mapped_column(BigInteger)
    boot: Mapped[int] = mapped_column(BigInteger)
    sent_ms: Mapped[int] = mapped_column(BigInteger)  # since boot, at the connection's start
    firmware: Mapped[str | None] = mapped_column(String(200))
    battery_pct: Mapped[int | None]
    queued_frames: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    # How many connections in a row ended soon after they began, and since when.
    cut_offs: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    cut_off_since: Mapped[datetime | None]
    # When it last reported an empty flash: all that it had recorded by then is here.
    drained_at: Mapped[datetime | None]


class ClockAnchor(Base):
    """A moment known on both clocks: the device's `up_ms` since `boot`, and the world's.

    An `exchange` is two-sided (± `error_ms`). An `arrival` is an upper bound: the message left at
    `up_ms`, before it arrived. So is `queued`, for a message that may have waited in the broker.
    `device_clock` is the device's own claim.
    """

    __tablename__ = "clock_anchor"
    __table_args__ = (
        CheckConstraint("kind IN ('exchange', 'arrival', 'queued', 'device_clock')", name="kind"),
        CheckConstraint("error_ms >= 0", name="error"),
    )

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    store: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    boot: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    up_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    wall_at: Mapped[datetime]
    error_ms: Mapped[float] = mapped_column(Float(53))


class DeviceProgramme(Base):
    """One version of a device's programme, with the device's report. The highest is desired."""

    __tablename__ = "device_programme"
    __table_args__ = (
        CheckConstraint("ver >= 1", name="ver"),
        CheckConstraint("applied IS NULL OR reported_at IS NOT NULL", name="reported"),
        Index(
            "ix_device_programme_unpublished",
            "device_id",
            postgresql_where=text("published_at IS NULL"),
        ),
    )

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    ver: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("account.id", ondelete="SET NULL"), index=True
    )
    programme: Mapped[dict[str, Any]] = mapped_column(JSONB)
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB)
    expires_at: Mapped[datetime | None]
    # Who set it; of a version that is issued again, who set it at first. Null: nobody, or it is
    # older than this column.
    set_by: Mapped[str | None] = mapped_column(String(16))
    signature: Mapped[str] = mapped_column(String(100))  # of the message, signing.sign
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    applied: Mapped[bool | None]
    code: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(String(200))


class RetainedWithdrawal(Base):
    """Retained messages of a device, from an earlier holder's time, are to be withdrawn."""

    __tablename__ = "retained_withdrawal"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    asked_at: Mapped[datetime]
    # At whose brokers. The version before knows the first alone.
    cells: Mapped[list[str]] = mapped_column(
        ARRAY(String(31)), server_default=text(f"'{{{FIRST_CELL}}}'")
    )


class UnknownVersion(Base):
    """A device reported a version that was never set here."""

    __tablename__ = "unknown_version"
    __table_args__ = (
        Index("ix_unknown_version_open", "device_id", postgresql_where=text("settled_at IS NULL")),
    )

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    ver: Mapped[int] = mapped_column(BigInteger)  # that it reported last
    held_ver: Mapped[int] = mapped_column(BigInteger)  # the highest it reported as applied, or 0
    reported_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]  # when a newer version was set for it
    settled_at: Mapped[datetime | None]  # when the device reported that it applied a newer one


class Restoration(Base):
    """A backup was restored (`rights.after_restore`). Devices that were made before may hold
    programmes that it does not know: the next ones are numbered above `programmes_above`."""

    __tablename__ = "restoration"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    began_at: Mapped[datetime]
    programmes_above: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[datetime | None]


class RefusedProgramme(Base):
    """A programme that was asked for and never sent, with the reason."""

    __tablename__ = "refused_programme"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("account.id", ondelete="SET NULL"), index=True
    )
    programme: Mapped[dict[str, Any]] = mapped_column(JSONB)
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB)
    code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(500))
    refused_at: Mapped[datetime]


class Screening(Base):
    """A person's answers to the contraindication questions, with the text that they answered."""

    __tablename__ = "screening"
    __table_args__ = (Index("ix_screening_latest", "account_id", "model", "answered_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(32))
    text_version: Mapped[int]  # its edition
    text_language: Mapped[str] = mapped_column(String(8), server_default="en")  # as it was read
    text_digest: Mapped[bytes]  # SHA-256 of the questions as they were shown
    answers: Mapped[dict[str, Any]] = mapped_column(JSONB)  # question -> answer
    answered_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class RedFlag(Base):
    """A side effect that locks programme changes until a clinician has looked at it."""

    __tablename__ = "red_flag"
    __table_args__ = (
        Index("ix_red_flag_standing", "account_id", postgresql_where=text("lifted_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), index=True
    )
    symptom: Mapped[str] = mapped_column(String(64))
    felt_at: Mapped[datetime]
    raised_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_note: Mapped[str | None] = mapped_column(String(500))
