"""Create accounts, devices and sessions."""
# ruff: noqa: PLR0915 - one statement a table, as alembic writes them

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("locale", sa.String(length=35), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("change_counter", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('person', 'clinician', 'operator')", name=op.f("ck_account_role")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_index(
        "uq_account_email_lower", "account", [sa.literal_column("lower(email)")], unique=True
    )
    op.create_table(
        "claim_guesses",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_claim_guesses")),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=200), nullable=True),
        sa.Column("claim_code_hash", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{8,32}$'", name=op.f("ck_device_id_form")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("serial", name=op.f("uq_device_serial")),
    )
    op.create_table(
        "erasure_ledger",
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows_erased", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name=op.f("pk_erasure_ledger")),
    )
    op.create_table(
        "frame",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("up_ms", sa.BigInteger(), nullable=False),
        sa.Column("utc_ms", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_frame_seq")),
        sa.PrimaryKeyConstraint("device_id", "store", "seq", name=op.f("pk_frame")),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0.05},
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replay_outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "device_id", "code", "digest", name=op.f("uq_quarantine_device_id_code_digest")
        ),
    )
    op.create_index("ix_quarantine_key", "quarantine", ["device_id", "store", "seq"], unique=False)
    op.create_index(
        "ix_quarantine_waiting",
        "quarantine",
        ["id"],
        unique=False,
        postgresql_where=sa.text("replayed_at IS NULL"),
    )
    op.create_table(
        "sign_in_bucket",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("level >= 0", name=op.f("ck_sign_in_bucket_level")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_bucket")),
    )
    op.create_index(
        op.f("ix_sign_in_bucket_updated_at"), "sign_in_bucket", ["updated_at"], unique=False
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_audit_entry_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index(
        "ix_audit_entry_clinician",
        "audit_entry",
        [sa.literal_column("(detail ->> 'clinician')")],
        unique=False,
        postgresql_where=sa.text("(detail ->> 'clinician') IS NOT NULL"),
    )
    op.create_index(
        "ix_audit_entry_account_id_id", "audit_entry", ["account_id", "id"], unique=False
    )
    op.create_table(
        "change",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_change_number")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_change_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "kind", "entity_id", name=op.f("pk_change")),
    )
    op.create_index("ix_change_account_id_number", "change", ["account_id", "number"], unique=True)
    op.create_table(
        "clock_anchor",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("up_ms", sa.BigInteger(), nullable=False),
        sa.Column("wall_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error_ms", sa.Float(precision=53), nullable=False),
        sa.CheckConstraint(
            "kind IN ('exchange', 'arrival', 'queued', 'device_clock')",
            name=op.f("ck_clock_anchor_kind"),
        ),
        sa.CheckConstraint("error_ms >= 0", name=op.f("ck_clock_anchor_error")),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_clock_anchor_device_id_device")
        ),
        sa.PrimaryKeyConstraint(
            "device_id", "store", "boot", "kind", "up_ms", name=op.f("pk_clock_anchor")
        ),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("text_version", sa.Integer(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "withdrawn_at IS NULL OR withdrawn_at >= given_at", name=op.f("ck_consent_order")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_consent_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_account_id"), "consent", ["account_id"], unique=False)
    op.create_index(
        "uq_consent_standing",
        "consent",
        ["account_id", "purpose"],
        unique=True,
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.create_table(
        "device_presence",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("firmware", sa.String(length=200), nullable=True),
        sa.Column("battery_pct", sa.Integer(), nullable=True),
        sa.Column("queued_frames", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_presence_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_presence")),
    )
    op.create_table(
        "device_programme",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("ver", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("programme", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signature", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied", sa.Boolean(), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(length=200), nullable=True),
        sa.CheckConstraint(
            "applied IS NULL OR reported_at IS NOT NULL", name=op.f("ck_device_programme_reported")
        ),
        sa.CheckConstraint("ver >= 1", name=op.f("ck_device_programme_ver")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_device_programme_account_id_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_programme_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "ver", name=op.f("pk_device_programme")),
    )
    op.create_index(
        op.f("ix_device_programme_account_id"), "device_programme", ["account_id"], unique=False
    )
    op.create_index(
        "ix_device_programme_unpublished",
        "device_programme",
        ["device_id"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "device_tenure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "account_id IS NOT NULL OR released_at IS NOT NULL",
            name=op.f("ck_device_tenure_holder"),
        ),
        sa.CheckConstraint(
            "released_at IS NULL OR released_at >= claimed_at", name=op.f("ck_device_tenure_order")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_device_tenure_account_id_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_tenure_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_tenure")),
    )
    op.create_index(
        op.f("ix_device_tenure_account_id"), "device_tenure", ["account_id"], unique=False
    )
    op.create_index(
        op.f("ix_device_tenure_device_id"), "device_tenure", ["device_id"], unique=False
    )
    op.create_index(
        "uq_device_tenure_held",
        "device_tenure",
        ["device_id"],
        unique=True,
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "flash_store",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("resolved", postgresql.INT8MULTIRANGE(), nullable=False),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_flash_store_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "store", name=op.f("pk_flash_store")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "outgoing_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column(
            "next_try_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_outgoing_mail_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_mail")),
    )
    op.create_index(
        op.f("ix_outgoing_mail_account_id"), "outgoing_mail", ["account_id"], unique=False
    )
    op.create_index(
        "ix_outgoing_mail_waiting",
        "outgoing_mail",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "provider_identity",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_provider_identity_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_provider_identity")),
    )
    op.create_index(
        op.f("ix_provider_identity_account_id"), "provider_identity", ["account_id"], unique=False
    )
    op.create_table(
        "recording",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("frame_count", sa.Integer(), nullable=False),
        sa.Column("sample_count", sa.Integer(), nullable=False),
        sa.Column("seqs", postgresql.INT8MULTIRANGE(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_recording_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "sid", "store", name=op.f("pk_recording")),
    )
    op.create_table(
        "red_flag",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("symptom", sa.String(length=64), nullable=False),
        sa.Column("felt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_note", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_red_flag_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_red_flag")),
    )
    op.create_index(op.f("ix_red_flag_account_id"), "red_flag", ["account_id"], unique=False)
    op.create_index(
        "ix_red_flag_standing",
        "red_flag",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "refresh_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_refresh_token_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_token_token_hash")),
    )
    op.create_index(
        op.f("ix_refresh_token_account_id"), "refresh_token", ["account_id"], unique=False
    )
    op.create_index(
        op.f("ix_refresh_token_expires_at"), "refresh_token", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_refresh_token_family_id"), "refresh_token", ["family_id"], unique=False
    )
    op.create_table(
        "refused_programme",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("programme", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_refused_programme_account_id_account"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_refused_programme_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_programme")),
    )
    op.create_index(
        op.f("ix_refused_programme_account_id"), "refused_programme", ["account_id"], unique=False
    )
    op.create_index(
        op.f("ix_refused_programme_device_id"), "refused_programme", ["device_id"], unique=False
    )
    op.create_table(
        "screening",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("text_version", sa.Integer(), nullable=False),
        sa.Column("text_digest", sa.LargeBinary(), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_screening_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening")),
    )
    op.create_index(
        "ix_screening_latest", "screening", ["account_id", "model", "answered_at"], unique=False
    )
    op.create_table(
        "session_extent",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=False),
        sa.Column("low_seq", sa.BigInteger(), nullable=False),
        sa.Column("high_seq", sa.BigInteger(), nullable=False),
        sa.Column("low_boot", sa.BigInteger(), nullable=False),
        sa.Column("high_boot", sa.BigInteger(), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("low_seq <= high_seq", name=op.f("ck_session_extent_order")),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_session_extent_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", "sid", "store", name=op.f("pk_session_extent")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_session_extent_dirty",
        "session_extent",
        ["device_id"],
        unique=False,
        postgresql_where=sa.text("dirty"),
    )
    op.create_index(
        "ix_session_extent_unsealed",
        "session_extent",
        ["device_id", "sid"],
        unique=False,
        postgresql_where=sa.text("NOT sealed"),
    )
    op.create_table(
        "share",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.String(length=16)), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("clinician_email", sa.String(length=320), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cardinality(scopes) >= 1", name=op.f("ck_share_scopes")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_share_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_share_token_hash")),
    )
    op.create_index(op.f("ix_share_account_id"), "share", ["account_id"], unique=False)
    op.create_table(
        "single_use_token",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.String(length=320), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_single_use_token_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_single_use_token")),
    )
    op.create_index(
        op.f("ix_single_use_token_account_id"), "single_use_token", ["account_id"], unique=False
    )
    op.create_table(
        "stimulation_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("sid", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("time_source", sa.String(length=16), nullable=False),
        sa.Column("time_error_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.Column(
            "programme", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("frames_stored", sa.Integer(), nullable=False),
        sa.Column("frames_expected", sa.BigInteger(), nullable=True),
        sa.Column("completeness", sa.Float(precision=53), nullable=True),
        sa.Column("sample_count", sa.Integer(), nullable=False),
        sa.Column("stimulating_s", sa.Float(precision=53), nullable=False),
        sa.Column("contact_lost_s", sa.Float(precision=53), nullable=False),
        sa.Column("delivered_charge_uc", sa.Float(precision=53), nullable=True),
        sa.Column("pulses", sa.BigInteger(), nullable=True),
        sa.Column("mean_amplitude_ua", sa.Float(precision=53), nullable=True),
        sa.Column("max_amplitude_ua", sa.Integer(), nullable=True),
        sa.Column("mean_amplitude_over_threshold", sa.Float(precision=53), nullable=True),
        sa.Column("mean_impedance_ohm", sa.Float(precision=53), nullable=True),
        sa.Column("heart_rate_before_bpm", sa.Float(precision=53), nullable=True),
        sa.Column("heart_rate_during_bpm", sa.Float(precision=53), nullable=True),
        sa.Column("rmssd_ms", sa.Float(precision=53), nullable=True),
        sa.Column("rr_artefact_share", sa.Float(precision=53), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("boots", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('open', 'ended')", name=op.f("ck_stimulation_session_state")),
        sa.CheckConstraint(
            "time_source IN ('anchored', 'device_clock', 'between_boots', 'arrival')",
            name=op.f("ck_stimulation_session_time_source"),
        ),
        sa.CheckConstraint(
            "completeness IS NULL OR completeness BETWEEN 0 AND 1",
            name=op.f("ck_stimulation_session_completeness"),
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_stimulation_session_order")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_stimulation_session_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_stimulation_session_device_id_device")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stimulation_session")),
        sa.UniqueConstraint("device_id", "sid", name=op.f("uq_stimulation_session_device_id_sid")),
    )
    op.create_index(
        "ix_stimulation_session_account_started",
        "stimulation_session",
        ["account_id", "started_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_stimulation_session_open",
        "stimulation_session",
        ["device_id", "sid"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_stimulation_session_open",
        table_name="stimulation_session",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_index("ix_stimulation_session_account_started", table_name="stimulation_session")
    op.drop_table("stimulation_session")
    op.drop_index(op.f("ix_single_use_token_account_id"), table_name="single_use_token")
    op.drop_table("single_use_token")
    op.drop_index(op.f("ix_share_account_id"), table_name="share")
    op.drop_table("share")
    op.drop_index(
        "ix_session_extent_unsealed",
        table_name="session_extent",
        postgresql_where=sa.text("NOT sealed"),
    )
    op.drop_index(
        "ix_session_extent_dirty", table_name="session_extent", postgresql_where=sa.text("dirty")
    )
    op.drop_table("session_extent")
    op.drop_index("ix_screening_latest", table_name="screening")
    op.drop_table("screening")
    op.drop_index(op.f("ix_refused_programme_device_id"), table_name="refused_programme")
    op.drop_index(op.f("ix_refused_programme_account_id"), table_name="refused_programme")
    op.drop_table("refused_programme")
    op.drop_index(op.f("ix_refresh_token_family_id"), table_name="refresh_token")
    op.drop_index(op.f("ix_refresh_token_expires_at"), table_name="refresh_token")
    op.drop_index(op.f("ix_refresh_token_account_id"), table_name="refresh_token")
    op.drop_table("refresh_token")
    op.drop_index(
        "ix_red_flag_standing", table_name="red_flag", postgresql_where=sa.text("lifted_at IS NULL")
    )
    op.drop_index(op.f("ix_red_flag_account_id"), table_name="red_flag")
    op.drop_table("red_flag")
    op.drop_table("recording")
    op.drop_index(op.f("ix_provider_identity_account_id"), table_name="provider_identity")
    op.drop_table("provider_identity")
    op.drop_index(
        "ix_outgoing_mail_waiting",
        table_name="outgoing_mail",
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.drop_index(op.f("ix_outgoing_mail_account_id"), table_name="outgoing_mail")
    op.drop_table("outgoing_mail")
    op.drop_table("flash_store")
    op.drop_index(
        "uq_device_tenure_held",
        table_name="device_tenure",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.drop_index(op.f("ix_device_tenure_device_id"), table_name="device_tenure")
    op.drop_index(op.f("ix_device_tenure_account_id"), table_name="device_tenure")
    op.drop_table("device_tenure")
    op.drop_index(
        "ix_device_programme_unpublished",
        table_name="device_programme",
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index(op.f("ix_device_programme_account_id"), table_name="device_programme")
    op.drop_table("device_programme")
    op.drop_table("device_presence")
    op.drop_index(
        "uq_consent_standing",
        table_name="consent",
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.drop_index(op.f("ix_consent_account_id"), table_name="consent")
    op.drop_table("consent")
    op.drop_table("clock_anchor")
    op.drop_index("ix_change_account_id_number", table_name="change")
    op.drop_table("change")
    op.drop_index("ix_audit_entry_account_id_id", table_name="audit_entry")
    op.drop_index(
        "ix_audit_entry_clinician",
        table_name="audit_entry",
        postgresql_where=sa.text("(detail ->> 'clinician') IS NOT NULL"),
    )
    op.drop_table("audit_entry")
    op.drop_index(op.f("ix_sign_in_bucket_updated_at"), table_name="sign_in_bucket")
    op.drop_table("sign_in_bucket")
    op.drop_index(
        "ix_quarantine_waiting",
        table_name="quarantine",
        postgresql_where=sa.text("replayed_at IS NULL"),
    )
    op.drop_index("ix_quarantine_key", table_name="quarantine")
    op.drop_table("quarantine")
    op.drop_table("frame")
    op.drop_table("erasure_ledger")
    op.drop_table("device")
    op.drop_table("claim_guesses")
    op.drop_index("uq_account_email_lower", table_name="account")
    op.drop_table("account")
