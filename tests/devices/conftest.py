"""People and devices to test with."""

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.provisioning import Credentials, provision

MakeAccount = Callable[[str], UUID]
MakeDevice = Callable[..., Credentials]


@pytest.fixture
def account(session: Session) -> MakeAccount:
    """Makes an account by its name."""

    def make(name: str) -> UUID:
        row = Account(email=f"{name}@example.org", name=name)
        session.add(row)
        session.flush()
        return row.id

    return make


@pytest.fixture
def device(session: Session) -> MakeDevice:
    """Provisions a device of a model."""

    def make(model: str = "ear_cymba") -> Credentials:
        (credentials,) = provision(session, model)
        return credentials

    return make
