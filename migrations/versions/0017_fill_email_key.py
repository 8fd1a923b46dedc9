"""Give the accounts that there are their addresses' keys, the oldest first.

Of two accounts with one key the older has it, and both keep working: the younger is found by its
address as it is written. `cymba db check` names such accounts. The rule for keys is written here
anew, as it was: that of the code moves on.
"""

import unicodedata
from collections.abc import Sequence

import idna
import sqlalchemy as sa
from alembic import context, op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_AT_ONCE = 5_000
_SOME = sa.text(
    """
    SELECT id, email, created_at FROM account
    WHERE email_key IS NULL AND (created_at, id) > (:after_at, CAST(:after_id AS uuid))
    ORDER BY created_at, id LIMIT :at_once
    """
)
_FILL = sa.text(
    """
    UPDATE account SET email_key = given.key
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[])) AS given (id, key)
    WHERE account.id = given.id AND account.email_key IS NULL
      AND NOT EXISTS (SELECT FROM account AS older WHERE older.email_key = given.key)
    """
)


def upgrade() -> None:
    if context.is_offline_mode():
        return  # the keys are computed here, of what the database holds
    # Each batch is committed by itself. What broke off is taken up where it was.
    with op.get_context().autocommit_block():
        bind = op.get_bind()
        after = {"after_at": "-infinity", "after_id": "00000000-0000-0000-0000-000000000000"}
        while rows := bind.execute(_SOME, {**after, "at_once": _AT_ONCE}).all():
            ids_by_key: dict[str, str] = {}
            for row in rows:
                ids_by_key.setdefault(_key(row.email), str(row.id))
            keys, ids = list(ids_by_key), list(ids_by_key.values())
            bind.execute(_FILL, {"ids": ids, "keys": keys})
            after = {"after_at": rows[-1].created_at, "after_id": str(rows[-1].id)}


def downgrade() -> None:
    op.execute("UPDATE account SET email_key = NULL")


def _key(email: str) -> str:
    local, at, domain = email.rpartition("@")
    try:
        encoded = idna.encode(domain, uts46=True, std3_rules=True).decode()
        plain = "." not in encoded or encoded.endswith(".")
        plain = plain or encoded.rpartition(".")[2].isdigit()
        domain = _caseless(domain) if plain else idna.decode(encoded)
    except (idna.IDNAError, UnicodeError):
        domain = _caseless(domain)
    return _caseless(local) + at + domain


def _caseless(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed.casefold()))
