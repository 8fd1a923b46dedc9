from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import to_builtins
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices.messages import Desired, ReportedState
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.programme import record_report
from cymba.devices.publication import (
    begin_publication,
    mark_published,
    publish_again,
    publish_all_again,
    unpublished,
)
from cymba.devices.signing import sign, verify
from cymba.devices.tables import DeviceProgramme
from cymba.settings import FIRST_CELL
from tests.devices.conftest import MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def set_versions(session: Session, device: MakeDevice):
    """A new device with programmes up to a version, newest last; gives its id."""

    def make(upto: int = 1) -> str:
        device_id = device().device_id
        for ver in range(1, upto + 1):
            add(session, device_id, ver)
        return device_id

    return make


def add(session: Session, device_id: str, ver: int) -> None:
    desired = sign(
        KEY, device_id, Desired(ver=ver, programme=usual_programme(MODELS["ear_cymba"]), limits={})
    )
    session.add(
        DeviceProgramme(
            device_id=device_id,
            ver=ver,
            programme=to_builtins(desired.programme),
            limits={},
            signature=desired.signature,
            created_at=NOW,
        )
    )
    session.flush()


def waiting(session: Session) -> dict[str, int]:
    session.expire_all()
    return {device_id: desired.ver for device_id, desired in unpublished(session, FIRST_CELL)}


def test_of_several_versions_the_last_is_published_once(session, set_versions) -> None:
    device_id = set_versions(3)
    (first,) = unpublished(session, FIRST_CELL)
    assert (first.device_id, first.desired.ver) == (device_id, 3)
    assert verify(KEY.public_key(), device_id, first.desired)
    mark_published(session, [first], FIRST_CELL, NOW)
    assert waiting(session) == {}
    assert session.scalars(select(DeviceProgramme.published_at)).all() == [NOW] * 3


def test_a_version_set_while_another_is_published_waits(session, set_versions) -> None:
    device_id = set_versions(1)
    sent = unpublished(session, FIRST_CELL)
    add(session, device_id, 2)
    mark_published(session, sent, FIRST_CELL, NOW)
    assert waiting(session) == {device_id: 2}


def test_many_devices_go_in_parts(session, set_versions) -> None:
    ids = {set_versions(2) for _ in range(5)}
    seen = set()
    while part := unpublished(session, FIRST_CELL, limit=2):
        assert len(part) <= 2
        mark_published(session, part, FIRST_CELL, NOW)
        session.expire_all()
        seen |= {one.device_id for one in part}
    assert seen == ids


def test_what_a_device_has_not_spoken_of_is_published_again(session, set_versions) -> None:
    silent, spoken, other = set_versions(2), set_versions(2), set_versions(1)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    record_report(session, spoken, ReportedState(ver=2, applied=True), NOW)
    publish_again(session, [spoken, silent, "nobody-0001"])
    assert waiting(session) == {silent: 2}
    assert other not in waiting(session)


def test_a_broker_that_lost_all_gets_the_newest_of_each(session, set_versions) -> None:
    first, second = set_versions(3), set_versions(1)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    record_report(session, first, ReportedState(ver=3, applied=True), NOW + timedelta(hours=1))
    publish_all_again(session, FIRST_CELL)
    assert waiting(session) == {first: 3, second: 1}


def test_one_publishes_at_a_time(engine: Engine) -> None:
    with UnitOfWork(engine) as one, UnitOfWork(engine) as other:
        assert begin_publication(one, FIRST_CELL)
        assert not begin_publication(other, FIRST_CELL)
        one.rollback()
        assert begin_publication(other, FIRST_CELL)
