"""A device that floods is suspended, and its holder's apps are informed."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.exc import OperationalError

from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork
from cymba.devices.held_devices import held_devices
from cymba.devices.provisioning import Credentials, provision
from cymba.devices.suspension import SUSPENDED_FOR
from mqtt_bridge import flood_guard
from mqtt_bridge.flood_guard import FloodGuard
from mqtt_bridge.metrics import BridgeMetrics

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class StepClock:
    now_at = NOW

    @classmethod
    def now(cls, _zone: object) -> datetime:
        return cls.now_at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[StepClock]:
    monkeypatch.setattr(StepClock, "now_at", NOW)
    monkeypatch.setattr(flood_guard, "datetime", StepClock)
    return StepClock


def told(engine: Engine) -> dict[str, int]:
    """The number of the last change of each device."""
    with UnitOfWork(engine) as session:
        rows = session.execute(
            select(Change.entity_id, Change.number).where(Change.kind == "device")
        )
        return {row.entity_id: row.number for row in rows}


def suspensions(engine: Engine) -> dict[str, Any]:
    with UnitOfWork(engine) as session:
        account_id = session.scalars(select(Account.id)).one()
        return {one.device.id: one.suspension for one in held_devices(session, account_id)}


def test_a_suspension_and_its_end_are_told(
    engine: Engine, devices: list[Credentials], clock: type[StepClock]
) -> None:
    flooding = deque([devices[0].device_id, devices[1].device_id, devices[0].device_id])
    keeper = FloodGuard(engine, flooding, BridgeMetrics())
    keeper.do()
    assert set(told(engine)) == {one.device_id for one in devices[:2]}
    shown = suspensions(engine)
    assert shown[devices[0].device_id] == ("flood", NOW, NOW + SUSPENDED_FOR)
    assert shown[devices[2].device_id] is None
    first = told(engine)
    keeper.do()
    assert told(engine) == first  # nothing new, nothing announced
    clock.now_at = NOW + SUSPENDED_FOR + timedelta(seconds=1)
    keeper.do()
    assert min(told(engine).values()) > max(first.values())
    assert set(suspensions(engine).values()) == {None}


def test_ends_are_looked_for_now_and_then_and_a_flood_at_once(
    engine: Engine, devices: list[Credentials], clock: type[StepClock]
) -> None:
    flooding = deque([devices[0].device_id])
    keeper = FloodGuard(engine, flooding, BridgeMetrics())
    keeper.do()
    asked: list[str] = []

    def note(*told: Any) -> None:
        asked.append(told[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        keeper.do()
        assert asked == []
        flooding.append(devices[1].device_id)
        keeper.do()
        assert asked
        asked.clear()
        clock.now_at = NOW - timedelta(days=1)  # a clock that is set back
        keeper.do()
        assert asked
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert suspensions(engine)[devices[1].device_id] is not None


def test_a_flood_that_was_seen_outlasts_a_database_that_fails(
    engine: Engine,
    devices: list[Credentials],
    clock: type[StepClock],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del clock

    def fail(*_: object) -> None:
        raise OperationalError("SELECT 1", None, Exception())

    keeper = FloodGuard(engine, deque([devices[0].device_id]), BridgeMetrics())
    with monkeypatch.context() as failing:
        failing.setattr(flood_guard, "suspend", fail)
        with pytest.raises(OperationalError):
            keeper.do()
    with monkeypatch.context() as failing:
        failing.setattr(flood_guard, "end_suspensions", fail)
        with pytest.raises(OperationalError):
            keeper.do()
    assert suspensions(engine)[devices[0].device_id] is not None


def test_a_device_that_nobody_holds_is_told_to_nobody(
    engine: Engine, devices: list[Credentials], clock: type[StepClock]
) -> None:
    del clock
    with UnitOfWork(engine) as session, session.begin():
        (free,) = provision(session, "neck")
    FloodGuard(engine, deque([free.device_id]), BridgeMetrics()).do()
    assert told(engine) == {}
    assert set(suspensions(engine)) == {one.device_id for one in devices}
