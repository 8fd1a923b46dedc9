from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from cymba.devices.anchors import BootAnchor, BootKey, add_anchors
from cymba.devices.clocks import Anchor, to_ms
from cymba.devices.health import health
from cymba.devices.messages import Presence
from cymba.devices.presence import LastPresence, record_presence
from cymba.devices.tables import DevicePresence
from tests.devices.conftest import MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def said(session: Session, device_id: str) -> LastPresence:
    row = session.get_one(DevicePresence, device_id, populate_existing=True)
    return LastPresence._make(getattr(row, name) for name in LastPresence._fields)


def test_of_a_device_that_never_came_nothing_is_known(session: Session) -> None:
    known = health(session, None, NOW)
    assert (known.online, known.last_seen_at, known.unsynced) == (False, None, "unknown")
    assert (known.clock, known.complete_until) == (None, None)


@pytest.mark.parametrize(
    ("online", "queued", "unsynced"),
    [
        (True, 0, "none"),
        (True, 12, "waiting"),
        (True, None, "unknown"),
        (False, 0, "unknown"),
        (False, 12, "waiting"),
    ],
)
def test_not_uploaded_yet_differs_from_nothing_recorded(
    session: Session, device: MakeDevice, online: bool, queued: int | None, unsynced: str
) -> None:
    device_id = device().device_id
    presence = Presence(online=online, store=1, boot=1, sent=5, queued=queued, battery_pct=80)
    record_presence(session, device_id, presence, NOW)
    known = health(session, said(session, device_id), NOW)
    assert (known.online, known.unsynced, known.backlog_frames) == (online, unsynced, queued)
    assert known.complete_until == (NOW if online and queued == 0 else None)
    assert (known.battery_pct, known.last_seen_at) == (80, NOW)


def test_the_clock_is_as_good_as_its_anchors(session: Session, device: MakeDevice) -> None:
    device_id = device().device_id
    record_presence(session, device_id, Presence(online=True, store=1, boot=3, sent=5), NOW)
    unknown = health(session, said(session, device_id), NOW + timedelta(hours=1)).clock
    assert unknown is not None
    assert unknown.source == "arrival"
    anchor = Anchor("exchange", 60_000, to_ms(NOW), 40)
    add_anchors(session, [BootAnchor(BootKey(device_id, 1, 3), anchor)])
    known = health(session, said(session, device_id), NOW + timedelta(hours=1)).clock
    assert known == ("anchored", 40)
