from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account


@pytest.fixture
def account_id(session: Session) -> UUID:
    account = Account(email="person@example.org")
    session.add(account)
    session.commit()
    return account.id
