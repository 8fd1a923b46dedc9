from datetime import UTC, datetime, timedelta
from itertools import permutations

from sqlalchemy.orm import Session

from cymba.devices.messages import Presence
from cymba.devices.presence import SEEN_STEP, latest_store, record_presence, record_seen
from cymba.devices.tables import DevicePresence
from tests.devices.conftest import MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def on(boot: int, sent: int, store: int = 1, **more: object) -> Presence:
    return Presence(online=True, store=store, boot=boot, sent=sent, **more)  # type: ignore[arg-type]


def off(boot: int, sent: int, store: int = 1) -> Presence:
    return Presence(online=False, store=store, boot=boot, sent=sent)


def test_the_newest_connection_holds_in_whatever_order(
    session: Session, device: MakeDevice
) -> None:
    said = [on(1, 10), off(1, 10), on(1, 500), off(1, 500), on(2, 5)]
    for order in permutations(said):
        device_id = device().device_id
        for number, presence in enumerate(order):
            record_presence(session, device_id, presence, NOW + number * MINUTE)
        row = session.get_one(DevicePresence, device_id)
        assert (row.online, row.boot, row.sent_ms) == (True, 2, 5)


def test_a_will_ends_its_own_connection_for_good(session: Session, device: MakeDevice) -> None:
    device_id = device().device_id
    assert record_presence(session, device_id, on(3, 10), NOW) == "current"
    assert record_presence(session, device_id, off(3, 10), NOW + MINUTE) == "current"
    assert record_presence(session, device_id, on(3, 10), NOW + 2 * MINUTE) == "late"
    assert not session.get_one(DevicePresence, device_id).online
    assert record_presence(session, device_id, on(3, 11), NOW + 3 * MINUTE) == "current"


def test_within_a_connection_news_replace_what_they_name(
    session: Session, device: MakeDevice
) -> None:
    device_id = device().device_id
    record_presence(session, device_id, on(3, 10, firmware="1.2", battery_pct=80, queued=40), NOW)
    record_presence(session, device_id, on(3, 10, battery_pct=70), NOW + MINUTE)
    record_presence(session, device_id, off(3, 10), NOW + 2 * MINUTE)
    row = session.get_one(DevicePresence, device_id)
    session.refresh(row)
    assert (row.firmware, row.battery_pct, row.queued_frames) == ("1.2", 70, 40)
    assert (row.changed_at, row.seen_at) == (NOW + 2 * MINUTE, NOW + 2 * MINUTE)


def test_a_factory_reset_begins_anew(session: Session, device: MakeDevice) -> None:
    device_id = device().device_id
    record_presence(session, device_id, on(900, 10, store=1), NOW)
    assert record_presence(session, device_id, on(0, 5, store=2), NOW + MINUTE) == "current"
    assert record_presence(session, device_id, off(900, 10, store=1), NOW + MINUTE) == "late"
    assert latest_store(session, device_id) == 2
    assert session.get_one(DevicePresence, device_id).online


def test_a_retained_message_is_no_sight_of_the_device(session: Session, device: MakeDevice) -> None:
    device_id = device().device_id
    record_presence(session, device_id, on(1, 10), NOW)
    record_presence(session, device_id, on(1, 20, queued=0), NOW + MINUTE, live=False)
    row = session.get_one(DevicePresence, device_id)
    session.refresh(row)
    assert (row.sent_ms, row.seen_at, row.drained_at) == (20, NOW, None)


def test_an_empty_flash_is_remembered(session: Session, device: MakeDevice) -> None:
    device_id = device().device_id
    record_presence(session, device_id, on(1, 10, queued=0), NOW)
    record_presence(session, device_id, on(1, 20, queued=7), NOW + MINUTE)
    row = session.get_one(DevicePresence, device_id)
    session.refresh(row)
    assert (row.queued_frames, row.drained_at) == (7, NOW)


def test_frames_move_last_seen_in_steps(session: Session, device: MakeDevice) -> None:
    known, unknown = device().device_id, device().device_id
    record_presence(session, known, on(1, 10), NOW)
    row = session.get_one(DevicePresence, known)
    for step, seen in ((SEEN_STEP / 2, NOW), (2 * SEEN_STEP, NOW + 2 * SEEN_STEP)):
        record_seen(session, {known: NOW + step, unknown: NOW})
        session.refresh(row)
        assert row.seen_at == seen
    record_seen(session, {known: NOW})
    session.refresh(row)
    assert row.seen_at == NOW + 2 * SEEN_STEP
    assert session.get(DevicePresence, unknown) is None


def test_nothing_is_known_of_a_device_that_never_came(session: Session) -> None:
    assert latest_store(session, "never-here") is None


def test_a_counter_that_began_anew_is_not_late_for_ever(
    session: Session, device: MakeDevice
) -> None:
    """A counter of 32 bits after 49.7 days in one boot."""
    device_id, last = device().device_id, 2**32 - 60_000
    record_presence(session, device_id, on(3, last), NOW)
    assert record_presence(session, device_id, on(3, 40), NOW + MINUTE) == "current"
    assert record_presence(session, device_id, off(3, last), NOW + 2 * MINUTE) == "late"
    assert session.get_one(DevicePresence, device_id, populate_existing=True).online
    assert record_presence(session, device_id, on(3, 900_000), NOW + 3 * MINUTE) == "current"


def test_connections_that_end_as_soon_as_they_begin_are_counted(
    session: Session, device: MakeDevice
) -> None:
    device_id = device().device_id

    def connects(number: int, lasts: timedelta) -> DevicePresence:
        at = NOW + number * 10 * MINUTE
        record_presence(session, device_id, on(1, number, queued=3), at)
        record_presence(session, device_id, off(1, number), at + lasts)
        return session.get_one(DevicePresence, device_id, populate_existing=True)

    for number in (1, 2, 3):
        row = connects(number, timedelta(seconds=5))
        assert (row.cut_offs, row.cut_off_since) == (number, NOW + 10 * MINUTE)
    row = connects(4, 5 * MINUTE)
    assert (row.cut_offs, row.cut_off_since) == (0, None)
