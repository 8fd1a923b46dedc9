"""Tables of frames, ack ledgers, quarantine, recordings and sessions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB
from sqlalchemy.dialects.postgresql.ranges import MultiRange
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base, CreatedAt

_AT_ONCE = text("'1970-01-01 00:00:00+00'")


class StoredFrame(Base):
    """The frame table: one row a frame, until its session is compacted. It has no foreign keys and
    no second index, because every frame of every device passes through here."""

    __tablename__ = "frame"
    __table_args__ = (
        CheckConstraint("seq >= 1", name="seq"),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.05}},
    )

    device_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    store: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    boot: Mapped[int] = mapped_column(BigInteger)
    sid: Mapped[UUID]
    kind: Mapped[int] = mapped_column(SmallInteger)  # frames.KINDS
    up_ms: Mapped[int] = mapped_column(BigInteger)
    utc_ms: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary)  # BLAKE2b-128 of the content
    body: Mapped[bytes] = mapped_column(LargeBinary)  # frames.pack
    received_at: Mapped[datetime]


class AckLedgerRow(Base):
    """Which of a store's sequence numbers are resolved: stored, recorded, or quarantined.

    Acknowledgements are read from `resolved` alone, so they survive compaction and erasure.
    """

    __tablename__ = "flash_store"
    __table_args__ = ({"postgresql_with": {"fillfactor": 70}},)

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    store: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    resolved: Mapped[MultiRange[int]] = mapped_column(INT8MULTIRANGE)
    first_seen_at: Mapped[CreatedAt]


class SessionExtent(Base):
    """Where a session's frames lie in its store, and whether its summary is out of date.

    The bridge writes here with every batch. The session worker clears `dirty` when it summarises,
    but leaves it while frames still come, and says when it is due again. It is a table of its own,
    so that neither waits for an edit in the app. `sealed` says that the session is compacted: none
    of its frames is in the frame table. Only the session worker and deletion set it. Before
    `due_at` the session is not summarised again, unless its end has come.
    """

    __tablename__ = "session_extent"
    __table_args__ = (
        # None is of a column that changes while a session runs: its rows change in place (HOT).
        Index("ix_session_extent_waiting", "device_id", "sid", postgresql_where=text("dirty")),
        Index(
            "ix_session_extent_unsealed", "device_id", "sid", postgresql_where=text("NOT sealed")
        ),
        CheckConstraint("low_seq <= high_seq", name="order"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    sid: Mapped[UUID] = mapped_column(primary_key=True)
    store: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    low_seq: Mapped[int] = mapped_column(BigInteger)
    high_seq: Mapped[int] = mapped_column(BigInteger)
    low_boot: Mapped[int] = mapped_column(BigInteger)
    high_boot: Mapped[int] = mapped_column(BigInteger)
    dirty: Mapped[bool] = mapped_column(default=True)
    sealed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    last_received_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(server_default=_AT_ONCE)
    # The session is open: once its end comes it is due, whatever `due_at` was.
    ends_at_once: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class Retiming(Base):
    """The clocks of a device have moved, and with them the times of its sessions.

    The bridge writes one row, however much the device has stored. The session worker marks the
    sessions dirty, some at a time, and waits in between: longer if a device needs it often.
    """

    __tablename__ = "retiming"
    __table_args__ = (Index("ix_retiming_asked", "due_at", postgresql_where=text("asked")),)

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    store: Mapped[int | None] = mapped_column(BigInteger)  # null: more than one
    low_boot: Mapped[int] = mapped_column(BigInteger)
    high_boot: Mapped[int] = mapped_column(BigInteger)
    asked: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    # The last extent that was marked, while there are more.
    swept_sid: Mapped[UUID | None]
    swept_store: Mapped[int | None] = mapped_column(BigInteger)
    wait_s: Mapped[float] = mapped_column(Float(53), server_default=text("0"))
    due_at: Mapped[datetime] = mapped_column(server_default=_AT_ONCE)


class Recording(Base):
    """A finished session's frames of one store, as one compressed columnar row.

    `seqs` are their numbers, `digests` the first 8 bytes of each digest in that order. While
    compaction moves frames here, their `flash_store` row is locked. Whoever locks it first and then
    reads both tables finds each frame in exactly one of them.
    """

    __tablename__ = "recording"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    sid: Mapped[UUID] = mapped_column(primary_key=True)
    store: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    frame_count: Mapped[int]
    sample_count: Mapped[int]
    seqs: Mapped[MultiRange[int]] = mapped_column(INT8MULTIRANGE)
    digests: Mapped[bytes] = mapped_column(LargeBinary)  # of each frame, in order of seq
    body: Mapped[bytes] = mapped_column(LargeBinary)  # recording.encode_recording
    sealed_at: Mapped[CreatedAt]


class QuarantinedFrame(Base):
    """A dead letter: a payload that was rejected for good, with the reason. An operator may replay
    it."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("device_id", "code", "digest"),
        Index("ix_quarantine_key", "device_id", "store", "seq"),
        Index("ix_quarantine_waiting", "id", postgresql_where=text("replayed_at IS NULL")),
        Index(
            "ix_quarantine_waiting_code",
            "code",
            "id",
            postgresql_where=text("replayed_at IS NULL"),
        ),
        # For retention.
        Index(
            "ix_quarantine_replayed",
            "replayed_at",
            postgresql_where=text("replayed_at IS NOT NULL"),
        ),
        Index(
            "ix_quarantine_waiting_received",
            "received_at",
            postgresql_where=text("replayed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    device_id: Mapped[str] = mapped_column(String(32))
    store: Mapped[int | None] = mapped_column(BigInteger)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)  # of the content, so a resend adds no row
    times_seen: Mapped[int] = mapped_column(default=1)
    received_at: Mapped[datetime]
    replayed_at: Mapped[datetime | None]
    replay_outcome: Mapped[str | None] = mapped_column(Text)


class StimulationSession(Base):
    """A session as its person sees it. All but `note` and `excluded` is derived from its frames.

    `id` is made from the device's id and its `sid`. So it does not depend on the order of arrival,
    and no device can produce the id of another's session.
    """

    __tablename__ = "stimulation_session"
    __table_args__ = (
        UniqueConstraint("device_id", "sid"),
        Index("ix_stimulation_session_account_started", "account_id", "started_at", "id"),
        Index(
            "ix_stimulation_session_open",
            "device_id",
            "sid",
            postgresql_where=text("state = 'open'"),
        ),
        # For what an operator sees of all people's sessions together; it is of ranges of pages.
        Index(
            "ix_stimulation_session_began",
            "started_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": True, "pages_per_range": 16},
        ),
        CheckConstraint(
            "time_source IN ('anchored', 'device_clock', 'between_boots', 'arrival')",
            name="time_source",
        ),
        CheckConstraint(
            "completeness IS NULL OR completeness BETWEEN 0 AND 1", name="completeness"
        ),
        CheckConstraint("ended_at >= started_at", name="order"),
        CheckConstraint("state IN ('open', 'ended')", name="state"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id"))
    sid: Mapped[UUID]
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]  # of the last sample so far, while it is open
    # The person's zone at the session's time: it decides the session's local day.
    time_zone: Mapped[str] = mapped_column(String(64))
    time_source: Mapped[str] = mapped_column(String(16))
    time_error_ms: Mapped[int] = mapped_column(BigInteger)
    end_reason: Mapped[str | None] = mapped_column(String(32))
    programme: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    frames_stored: Mapped[int]
    frames_expected: Mapped[int | None] = mapped_column(BigInteger)
    completeness: Mapped[float | None] = mapped_column(Float(53))
    sample_count: Mapped[int]
    stimulating_s: Mapped[float | None] = mapped_column(Float(53))  # null: not known
    contact_lost_s: Mapped[float] = mapped_column(Float(53))
    delivered_charge_uc: Mapped[float | None] = mapped_column(Float(53))
    pulses: Mapped[int | None] = mapped_column(BigInteger)
    mean_amplitude_ua: Mapped[float | None] = mapped_column(Float(53))
    max_amplitude_ua: Mapped[int | None]
    mean_native_level: Mapped[float | None] = mapped_column(Float(53))
    max_native_level: Mapped[int | None]
    mean_amplitude_over_threshold: Mapped[float | None] = mapped_column(Float(53))
    mean_impedance_ohm: Mapped[float | None] = mapped_column(Float(53))
    start_impedance_ohm: Mapped[float | None] = mapped_column(Float(53))
    heart_rate_before_bpm: Mapped[float | None] = mapped_column(Float(53))
    heart_rate_during_bpm: Mapped[float | None] = mapped_column(Float(53))
    rmssd_ms: Mapped[float | None] = mapped_column(Float(53))
    rr_artefact_share: Mapped[float | None] = mapped_column(Float(53))
    event_count: Mapped[int]
    boots: Mapped[list[int]] = mapped_column(JSONB)
    # Where the frames contradict themselves: names of `session.summary.DOUBTS`.
    doubts: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'"))
    note: Mapped[str | None] = mapped_column(Text)
    excluded: Mapped[bool] = mapped_column(default=False)  # the person leaves it out of insights
    # The version at which each of these two last changed, so that two phones' edits are merged.
    field_versions: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"))
    # Deleted by the person; its frames are erased.
    deleted_at: Mapped[datetime | None] = mapped_column("hidden_at")
    version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]


class KeptSums(Base):
    """The sums of an open session's frames so far (`session.folding`).

    They can be made anew from the frames, so they are in no log: a crash of the database empties
    the table.
    """

    __tablename__ = "session_sums"
    __table_args__ = ({"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": 50}},)

    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("stimulation_session.id", ondelete="CASCADE"), primary_key=True
    )
    sums: Mapped[bytes] = mapped_column(LargeBinary)
