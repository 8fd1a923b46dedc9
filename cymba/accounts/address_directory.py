"""The directory of addresses: whose each is, on one PostgreSQL and on several nodes alike.

An address is taken by the key of its row. So of two who take it at once the second waits, and is
told that it is taken. Whoever changes `Account.email` or `email_key` changes its row in the same
transaction. For processes of the version before, which do not know of it, a trigger does the same;
on several nodes, where none of them runs, there is no trigger. The next version drops it.
"""

from uuid import UUID

from sqlalchemy import DDL, Select, and_, delete, event, func, or_, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts import addresses
from cymba.accounts.tables import Account, AccountAddress
from cymba.errors import Conflict


def who_has(session: Session, email: str) -> list[UUID]:
    """The account that has the address's key, and an older one that has just this spelling."""
    return list(session.scalars(whose(email)))


def whose(email: str) -> Select[UUID]:
    """`who_has` as a subquery."""
    row = AccountAddress
    by_key = and_(row.address == addresses.key(email), row.is_key)
    by_spelling = and_(row.address == func.lower(email), ~row.is_key)
    return select(row.account_id).where(or_(by_key, by_spelling))


def take(session: Session, account_id: UUID, email: str) -> bool:
    """Enter the address, unless another account has it: then False. Others who want it wait."""
    row = insert(AccountAddress).values(
        address=addresses.key(email), is_key=True, account_id=account_id
    )
    # Changes nothing, and returns the row that is there.
    row = row.on_conflict_do_update(
        index_elements=[AccountAddress.address, AccountAddress.is_key],
        set_={"account_id": AccountAddress.account_id},
    )
    return session.scalar(row.returning(AccountAddress.account_id)) == account_id


def leave(session: Session, account_id: UUID, email: str, email_key: str | None) -> None:
    """Remove the row of an account that had the address, with this key."""
    row = AccountAddress
    was = func.lower(email) if email_key is None else email_key
    session.execute(
        delete(row).where(
            row.address == was,
            row.is_key.is_(email_key is not None),
            row.account_id == account_id,
        )
    )


def taken() -> Conflict:
    return Conflict("This e-mail address has an account already.", code="email-taken")


def count_missing(session: Session) -> int:
    """How many accounts there are more than addresses: 0. One statement counts both, since people
    come and go meanwhile."""
    accounts, rows = (
        select(func.count().label("number")).select_from(one).subquery(name)
        for one, name in ((Account, "accounts"), (AccountAddress, "addresses"))
    )
    more = select(accounts.c.number - rows.c.number).select_from(accounts.join(rows, true()))
    number: int = session.scalars(more).one()
    return number


_FOR_THE_VERSION_BEFORE = (
    """
CREATE FUNCTION note_account_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken text := coalesce(NEW.email_key, lower(NEW.email));
  by_key boolean := NEW.email_key IS NOT NULL;
BEGIN
  INSERT INTO public.account_address (address, is_key, account_id)
  VALUES (taken, by_key, NEW.id) ON CONFLICT DO NOTHING;
  DELETE FROM public.account_address
  WHERE account_id = NEW.id AND (address, is_key) <> (taken, by_key);
  RETURN NULL;
END
$$""",
    "REVOKE ALL ON FUNCTION note_account_address() FROM PUBLIC",
    """
CREATE TRIGGER account_noted_address AFTER INSERT OR UPDATE OF email, email_key ON account
FOR EACH ROW EXECUTE FUNCTION note_account_address()""",
)
_DDL = (
    *(("after_create", statement) for statement in _FOR_THE_VERSION_BEFORE),
    ("after_drop", "DROP FUNCTION note_account_address()"),
)
for _moment, _statement in _DDL:
    event.listen(
        Account.__table__,
        _moment,
        DDL(_statement),  # type: ignore[no-untyped-call] # SQLAlchemy's own
    )
