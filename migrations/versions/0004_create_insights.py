"""Create the insights."""
# ruff: noqa: E501 - one statement a table, as alembic writes them

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "finding",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("exposure", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("lag", sa.Integer(), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("grade", sa.String(length=16), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("milestone", sa.Integer(), nullable=False),
        sa.Column("pairs_now", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("exposure_coverage", sa.Float(precision=53), nullable=False),
        sa.Column("outcome_coverage", sa.Float(precision=53), nullable=False),
        sa.Column("effect", sa.Float(precision=53), nullable=True),
        sa.Column("low", sa.Float(precision=53), nullable=True),
        sa.Column("high", sa.Float(precision=53), nullable=True),
        sa.Column("contrast", sa.Float(precision=53), nullable=True),
        sa.Column("sequential_p", sa.Float(precision=53), nullable=True),
        sa.Column("more_days_low", sa.Integer(), nullable=True),
        sa.Column("more_days_high", sa.Integer(), nullable=True),
        sa.Column("looks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("method_version", sa.String(length=16), nullable=False),
        sa.Column("input_hash", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "grade IN ('collecting', 'not_enough', 'no_clear_link', 'early_signal', 'moderate', 'strong', 'tested')",
            name=op.f("ck_finding_grade"),
        ),
        sa.CheckConstraint("tier IN ('primary', 'exploratory')", name=op.f("ck_finding_tier")),
        sa.CheckConstraint("lag BETWEEN 0 AND 7", name=op.f("ck_finding_lag")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_finding_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "exposure", "outcome", "lag", name=op.f("pk_finding")
        ),
    )
    op.create_table(
        "insight_state",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("at_change", sa.BigInteger(), nullable=False),
        sa.Column("input_hash", sa.String(length=64), nullable=False),
        sa.Column("method_version", sa.String(length=16), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_insight_state_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_insight_state")),
    )


def downgrade() -> None:
    op.drop_table("insight_state")
    op.drop_table("finding")
