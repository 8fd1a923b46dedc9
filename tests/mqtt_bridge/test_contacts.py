"""Last contacts are written, and holders read, in bulk: beside the batches, not in them."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.devices.presence import SEEN_STEP, record_presence
from cymba.devices.provisioning import Credentials
from cymba.devices.tables import DevicePresence
from cymba.settings import FIRST_CELL
from cymba.stimulation.wire.messages import Presence
from mqtt_bridge import contacts
from mqtt_bridge.contacts import Contacts

AT = utc_now()
STEP = SEEN_STEP + timedelta(seconds=1)


@pytest.fixture
def seen(session: Session, devices: list[Credentials]) -> list[str]:
    """Devices that came online at `AT`."""
    for one in devices:
        presence = Presence(online=True, store=5, boot=1, sent=1)
        record_presence(session, one.device_id, presence, AT)
    session.commit()
    return [one.device_id for one in devices]


@pytest.fixture
def noted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Contacts:
    monkeypatch.setattr(contacts, "PERIOD_S", 0.0)
    return Contacts(engine, FIRST_CELL)


def seen_at(session: Session, device_id: str) -> datetime | None:
    session.rollback()
    return session.scalar(
        select(DevicePresence.seen_at).where(DevicePresence.device_id == device_id)
    )


def test_many_contacts_take_as_many_statements_as_one(
    noted: Contacts, seen: list[str], session: Session, engine: Engine
) -> None:
    later = AT + STEP
    noted.note((device_id, later) for device_id in [*seen, "nobodys-device"])
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert not noted.do()
    assert len(statements) == 4
    assert [seen_at(session, device_id) for device_id in seen] == [later] * len(seen)
    assert noted.holders.keys() == set(seen)


def test_no_news_costs_nothing(noted: Contacts, seen: list[str], session: Session) -> None:
    first = AT + STEP
    noted.note([(seen[0], first)])
    noted.do()
    noted.note([(seen[0], first + SEEN_STEP - timedelta(seconds=1))])
    noted.do()
    assert seen_at(session, seen[0]) == first
    noted.note([(seen[0], first + STEP)])
    noted.do()
    assert seen_at(session, seen[0]) == first + STEP


def test_a_device_that_was_let_go_has_no_holder(
    noted: Contacts, seen: list[str], session: Session
) -> None:
    noted.note([(seen[0], AT)])
    noted.do()
    session.execute(text("UPDATE device_tenure SET released_at = now()"))
    session.commit()
    noted.note([(seen[0], AT + STEP)])
    noted.do()
    assert noted.holders == {}


def test_what_could_not_be_written_is_written_later(
    noted: Contacts, seen: list[str], session: Session, engine: Engine
) -> None:
    later = AT + STEP
    noted.note([(seen[0], later)])

    def fail(*_: object) -> None:
        raise OperationalError("", None, Exception("the server hung up"))

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(OperationalError):
        noted.do()
    event.remove(engine, "before_cursor_execute", fail)
    noted.note([(seen[1], later)])
    noted.do()
    assert [seen_at(session, device_id) for device_id in seen[:2]] == [later] * 2


def test_a_backlog_is_written_in_parts(
    noted: Contacts, seen: list[str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "AT_ONCE", 3)
    noted.note((device_id, AT + STEP) for device_id in seen)
    assert noted.do()
    assert not noted.do()
    assert {seen_at(session, device_id) for device_id in seen} == {AT + STEP}


def test_few_devices_are_remembered(
    engine: Engine, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "PERIOD_S", 0.0)
    small = Contacts(engine, FIRST_CELL, most_devices=2)
    for device_id in (seen[0], seen[1], seen[2]):
        small.note([(device_id, AT)])
        small.do()
    assert small.holders.keys() == {seen[1], seen[2]}
