"""The directory of addresses is kept for the version before, and filled while it is at work.

That every account gets into it is in `test_email_keys`.
"""

import threading
from uuid import uuid4

from sqlalchemy import text

from cymba.accounts import profile
from cymba.database import UnitOfWork
from ops import schema

ROWS = text(
    """
    SELECT a.email, d.address, d.is_key FROM account_address AS d
    JOIN account AS a ON a.id = d.account_id ORDER BY a.email
    """
)


def test_the_version_before_keeps_it_without_knowing_of_it(empty_engine):
    schema.upgrade(empty_engine)
    one, two = uuid4(), uuid4()
    with empty_engine.begin() as connection:
        add = text(
            "INSERT INTO account (id, email, email_key, name, time_zone, locale, role, version)"
            " VALUES (:id, :email, :key, '', 'UTC', 'en', 'person', 1)"
        )
        connection.execute(add, {"id": one, "email": "Ada@x.org", "key": "ada@x.org"})
        connection.execute(add, {"id": two, "email": "ADA@X.org ", "key": None})
        rows = connection.execute(ROWS).all()
        assert rows == [("ADA@X.org ", "ada@x.org ", False), ("Ada@x.org", "ada@x.org", True)]
        connection.execute(
            text("UPDATE account SET email = 'b@x.org', email_key = 'b@x.org' WHERE id = :id"),
            {"id": one},
        )
        connection.execute(
            text("UPDATE account SET email_key = 'ada@x.org' WHERE id = :id"), {"id": two}
        )
        rows = connection.execute(ROWS).all()
        assert rows == [("ADA@X.org ", "ada@x.org", True), ("b@x.org", "b@x.org", True)]
        connection.execute(text("SELECT erase_account(:id)"), {"id": one})
        assert len(connection.execute(ROWS).all()) == 1


def test_an_address_that_changes_while_it_is_entered_is_entered_as_it_is_then(empty_engine):
    schema.upgrade(empty_engine)
    with UnitOfWork(empty_engine) as session, session.begin():
        ada = profile.enter(session, "ada@example.org").id
    schema.downgrade(empty_engine, "0046")
    upgrading = threading.Thread(target=schema.upgrade, args=[empty_engine])
    with UnitOfWork(empty_engine) as session:
        account = profile.lock(session, ada)
        account.email = "new@example.org"
        session.flush()
        upgrading.start()
        with empty_engine.connect() as looking:
            while upgrading.is_alive() and not looking.scalar(
                text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            ):
                pass
        session.commit()
    upgrading.join()
    with empty_engine.connect() as connection:
        assert connection.execute(ROWS).all() == [("new@example.org", "new@example.org", True)]
