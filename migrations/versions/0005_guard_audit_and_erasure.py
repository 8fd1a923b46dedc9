"""Guard the audit log, and keep what erasure has yet to do."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "retained_withdrawal",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_retained_withdrawal_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_retained_withdrawal")),
    )
    # A default that is a constant rewrites no row.
    op.add_column(
        "device", sa.Column("erased_ver", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.execute(
        """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('cymba.erasing', true) = 'on' THEN
    CASE TG_OP
      WHEN 'DELETE' THEN RETURN OLD;
      WHEN 'UPDATE' THEN RETURN NEW;  -- of an entry that names an erased viewer
      ELSE NULL;
    END CASE;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$"""
    )
    op.execute(
        """
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()"""
    )
    op.execute(
        """
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"""
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_entry_no_truncate ON audit_entry")
    op.execute("DROP TRIGGER audit_entry_append_only ON audit_entry")
    op.execute("DROP FUNCTION refuse_audit_change()")
    op.drop_column("device", "erased_ver")
    op.drop_table("retained_withdrawal")
