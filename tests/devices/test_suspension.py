from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.changes import change_counter
from cymba.devices.claiming import claim
from cymba.devices.provisioning import authenticate, reissue_secret, revoke
from cymba.devices.suspension import SUSPENDED_FOR, end_suspensions, suspend
from cymba.devices.tables import DeviceSuspension
from tests.devices.conftest import MakeAccount, MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + SUSPENDED_FOR


def suspended_until(session: Session, device_id: str) -> datetime | None:
    return session.scalar(
        select(DeviceSuspension.until).where(DeviceSuspension.device_id == device_id)
    )


def test_a_suspended_device_is_out_until_its_time_is_over(
    session: Session, device: MakeDevice
) -> None:
    flood, other = device(), device()
    assert suspend(session, flood.device_id, NOW)
    assert not authenticate(session, flood.device_id, flood.secret)
    assert authenticate(session, other.device_id, other.secret)
    assert suspended_until(session, flood.device_id) == LATER
    assert end_suspensions(session, LATER - timedelta(seconds=1)) == []
    assert not authenticate(session, flood.device_id, flood.secret)
    assert end_suspensions(session, LATER) == [flood.device_id]
    assert authenticate(session, flood.device_id, flood.secret)
    assert suspended_until(session, flood.device_id) is None
    assert end_suspensions(session, LATER) == []


def test_it_is_suspended_once(session: Session, device: MakeDevice) -> None:
    flood = device()
    assert suspend(session, flood.device_id, NOW)
    assert not suspend(session, flood.device_id, NOW + timedelta(minutes=5))
    assert suspended_until(session, flood.device_id) == LATER
    assert not suspend(session, "nobody-0001", NOW)


def test_a_suspension_that_ends_undoes_no_revocation(session: Session, device: MakeDevice) -> None:
    flood = device()
    suspend(session, flood.device_id, NOW)
    revoke(session, flood.device_id)
    assert end_suspensions(session, LATER) == []
    assert not authenticate(session, flood.device_id, flood.secret)
    assert not suspend(session, flood.device_id, LATER)


def test_a_secret_that_is_issued_again_ends_it(session: Session, device: MakeDevice) -> None:
    flood = device()
    suspend(session, flood.device_id, NOW)
    secret = reissue_secret(session, flood.device_id)
    assert authenticate(session, flood.device_id, secret)
    assert end_suspensions(session, LATER) == []
    assert not authenticate(session, flood.device_id, flood.secret)


@pytest.mark.parametrize("by", ["its time", "a new secret", "a revocation"])
def test_the_holders_app_hears_that_it_begins_and_that_it_ends(
    session: Session, account: MakeAccount, device: MakeDevice, by: str
) -> None:
    ann, flood = account("ann"), device()
    claim(session, ann, flood.serial, flood.claim_code, NOW)
    session.commit()
    heard = [change_counter(session, ann)]
    suspend(session, flood.device_id, NOW)
    session.commit()
    heard.append(change_counter(session, ann))
    match by:
        case "its time":
            end_suspensions(session, LATER)
        case "a new secret":
            reissue_secret(session, flood.device_id)
        case _:
            revoke(session, flood.device_id)
    session.commit()
    heard.append(change_counter(session, ann))
    assert heard == [1, 2, 3]
