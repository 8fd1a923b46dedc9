"""Somebody with a device, and with a programme on it."""

from uuid import UUID

import msgspec
import pytest
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.tables import Account
from cymba.devices.messages import Programme
from cymba.devices.programme import (
    Accepted,
    Wanted,
    set_programme,
)
from cymba.devices.tables import Device, DeviceTenure
from cymba.insights.experiments import plans
from tests.insights.experiments.lives import BEGAN, DEVICE, KEY, PROGRAMME, answer_again


@pytest.fixture(autouse=True)
def one_coin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same coin in every run: an interval misses the truth once in twenty."""
    monkeypatch.setattr(plans, "new_seed", lambda: bytes(range(plans.SEED_BYTES)))


@pytest.fixture
def account_id(session: Session) -> UUID:
    account = Account(email="person@example.org", time_zone="Europe/Berlin")
    session.add_all([account, Device(id=DEVICE, serial="S1", model="ear_cymba")])
    session.flush()
    session.add(DeviceTenure(device_id=DEVICE, account_id=account.id, claimed_at=BEGAN))
    consent.give(session, account.id, "insights", version="1/en", now=BEGAN)
    session.commit()
    return account.id


@pytest.fixture
def programmed(session: Session, account_id: UUID) -> UUID:
    answer_again(session, account_id, BEGAN)
    outcome = set_programme(
        session,
        KEY,
        account_id,
        DEVICE,
        Wanted(msgspec.convert(PROGRAMME, Programme)),
        if_version=0,
        now=BEGAN,
    )
    assert isinstance(outcome, Accepted)
    session.commit()
    return account_id
