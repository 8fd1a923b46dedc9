from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import to_builtins
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices import cells, moving, publication
from cymba.devices.messages import Desired, Presence, ReportedState
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.presence import record_presence
from cymba.devices.programme import record_report
from cymba.devices.provisioning import provision
from cymba.devices.publication import (
    begin_publication,
    mark_published,
    publish_again,
    publish_all_again,
    publish_unreported,
    unpublished,
)
from cymba.devices.signing import sign, verify
from cymba.devices.tables import Device, DeviceProgramme
from cymba.settings import FIRST_CELL
from tests.devices.conftest import MakeDevice
from tests.end_to_end.parts import wait_until
from tests.lock_waits import is_any_lock_awaited
from tests.workers.test_round_plans import explained

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
    assert publish_all_again(session, FIRST_CELL) is None
    assert waiting(session) == {first: 3, second: 1}


def test_a_broker_that_lost_all_gets_it_in_parts(session, set_versions) -> None:
    ids = sorted(set_versions(1) for _ in range(5))
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    seen: list[list[str]] = []
    above: str | None = ""
    while above is not None:
        above = publish_all_again(session, FIRST_CELL, above=above, limit=2)
        seen.append(list(waiting(session)))
        mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    assert seen == [ids[:2], ids[2:4], ids[4:]]


def test_what_is_published_again_waits_for_no_report_in_a_circle(
    engine: Engine, session: Session, set_versions
) -> None:
    """A bridge has noted a report of the first device, and others are to follow in their order."""
    ids = sorted(set_versions(2) for _ in range(20))
    session.execute(text("ANALYZE device_programme"))  # so it is read in no order
    session.commit()
    report = ReportedState(ver=2, applied=True)

    def publish() -> None:
        with UnitOfWork(engine) as other, other.begin():
            publication.publish_newest(other, ids)

    row = DeviceProgramme
    with ThreadPoolExecutor(1) as pool:
        with UnitOfWork(engine) as bridge, bridge.begin():
            record_report(bridge, ids[0], report, NOW)
            done = pool.submit(publish)
            wait_until(lambda: is_any_lock_awaited(engine), what="waiting for the report")
            free = bridge.scalars(
                select(row.ver)
                .where(row.device_id.in_(ids[1:]), row.ver == 2)
                .with_for_update(skip_locked=True)
            ).all()
        done.result()
    assert len(free) == len(ids) - 1


def test_one_publishes_at_a_time(engine: Engine) -> None:
    with UnitOfWork(engine) as one, UnitOfWork(engine) as other:
        assert begin_publication(one, FIRST_CELL)
        assert not begin_publication(other, FIRST_CELL)
        one.rollback()
        assert begin_publication(other, FIRST_CELL)


def test_a_publisher_whose_host_is_gone_stops_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "PUBLISHING_S", 0.05)
    gone, other = UnitOfWork(engine), UnitOfWork(engine)
    assert begin_publication(gone, FIRST_CELL)
    monkeypatch.undo()

    def may_publish() -> bool:
        other.rollback()
        return begin_publication(other, FIRST_CELL)

    wait_until(may_publish, what="the other one publishes")
    other.close()
    gone.invalidate()


def come_online(session: Session, device_id: str, at: datetime = NOW, *, online: bool = True):
    presence = Presence(online=online, store=1, boot=1, sent=int(at.timestamp()) % 2**31)
    record_presence(session, device_id, presence, at)


def test_what_a_device_that_is_online_never_reports_is_published_again_ever_more_rarely(
    session, set_versions
) -> None:
    silent, spoken, away = (set_versions(2) for _ in range(3))
    for device_id in (silent, spoken, away):
        come_online(session, device_id)
    come_online(session, away, NOW + timedelta(seconds=1), online=False)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    record_report(session, spoken, ReportedState(ver=2, applied=False, code="locked"), NOW)
    again_at: list[int] = []
    for minute in range(250):
        now = NOW + timedelta(minutes=minute, seconds=1)
        found = publish_unreported(session, FIRST_CELL, now)
        assert found.last is None
        if found.again:
            assert (found.again, waiting(session)) == ([silent], {silent: 2})
            again_at.append(minute)
            mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, now)
    assert again_at[:6] == [1, 3, 7, 15, 31, 63]
    assert [two - one for one, two in pairwise(again_at[5:])] == [61, 61, 61]
    assert publish_unreported(session, "another", NOW + timedelta(days=9)).again == []


def test_how_long_it_was_away_does_not_delay_what_a_device_has_not_got(
    session, set_versions
) -> None:
    device_id = set_versions(1)
    back_at = NOW + timedelta(days=7)
    come_online(session, device_id, back_at)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, back_at)
    assert publish_unreported(session, FIRST_CELL, back_at + timedelta(minutes=2)).again


def test_all_that_are_online_are_looked_at_in_parts(session, set_versions) -> None:
    ids = sorted(set_versions(1) for _ in range(5))
    for device_id in ids:
        come_online(session, device_id)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    later, parts = NOW + timedelta(minutes=2), []
    above: str | None = ""
    while above is not None:
        found = publish_unreported(session, FIRST_CELL, later, above=above, limit=2)
        parts.append(sorted(found.again))
        above = found.last
    assert parts == [ids[:2], ids[2:4], ids[4:]]


MANY_ONLINE = """
    INSERT INTO device (id, serial, model) SELECT 'another-' || n, 'O' || n, 'ear_cymba'
    FROM generate_series(1, 10000) AS n;
    INSERT INTO device_presence (device_id, online, store, boot, sent_ms, changed_at, seen_at)
    SELECT id, true, 1, 1, 1, :at, :at FROM device;
    INSERT INTO device_programme (device_id, ver, programme, limits, signature, created_at,
                                  published_at, reported_at)
    SELECT id, ver, '{}', '{}', '', :at, :at,
           CASE WHEN ver = 2 AND serial NOT LIKE '%99' THEN CAST(:at AS timestamptz) END
    FROM device, generate_series(1, 2) AS ver;
    ANALYZE
"""


def test_what_is_looked_at_among_many_that_are_online_is_found_by_indexes(engine: Engine) -> None:
    with explained(engine) as found, UnitOfWork(engine) as session:
        for statement in MANY_ONLINE.split(";"):
            session.execute(text(statement), {"at": NOW})
        found.clear()
        late = publish_unreported(
            session, FIRST_CELL, NOW + timedelta(days=1), above="another-5", limit=500
        )
        session.rollback()
    assert len(late.again) == 4
    assert sum("looked_at" in statement for statement in found) == 1
    assert set().union(*found.values()) == set()


def test_who_goes_offline_meanwhile_hides_nobody_after_them(
    session, set_versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tables lie in parts, each part is asked after it is known who is online."""
    ids = sorted(set_versions(1) for _ in range(3))
    for device_id in ids:
        come_online(session, device_id)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    later = NOW + timedelta(minutes=2)

    def one_goes(session: Session, online: list[str]) -> list[list[str]]:
        come_online(session, online[0], later, online=False)
        return [online]

    monkeypatch.setattr(publication, "lies_in_parts", lambda _: True)
    monkeypatch.setattr(publication, "parts", one_goes)
    found = publish_unreported(session, FIRST_CELL, later, limit=2)
    assert found == ([ids[1]], ids[1])


def test_a_clock_that_was_set_back_delays_nothing_that_a_device_has_not_got(
    session, set_versions
) -> None:
    device_id = set_versions(1)
    come_online(session, device_id)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW + timedelta(days=2))
    assert publish_unreported(session, FIRST_CELL, NOW + timedelta(minutes=2)).again == [device_id]


def test_a_device_that_reports_a_lower_version_is_sent_the_newest_again(
    session, set_versions
) -> None:
    """It was reset, and its broker still had the older message."""
    device_id, other = set_versions(2), set_versions(2)
    mark_published(session, unpublished(session, FIRST_CELL), FIRST_CELL, NOW)
    record_report(session, device_id, ReportedState(ver=2, applied=True), NOW)
    record_report(session, other, ReportedState(ver=2, applied=True), NOW + timedelta(days=1))
    soon = NOW + timedelta(seconds=1)
    record_report(session, device_id, ReportedState(ver=1, applied=True), soon)
    assert waiting(session) == {}  # the two have crossed
    record_report(session, device_id, ReportedState(ver=1, applied=True), NOW + timedelta(days=1))
    assert waiting(session) == {device_id: 2}


def test_a_row_that_is_being_published_holds_up_nobody_who_comes_online(engine: Engine) -> None:
    with UnitOfWork(engine) as publisher, UnitOfWork(engine) as writer:
        with UnitOfWork(engine) as session, session.begin():
            (one,) = provision(session, "ear_cymba")
            add(session, one.device_id, 1)
            session.execute(update(DeviceProgramme).values(published_at=NOW))
        publisher.execute(update(DeviceProgramme).values(published_at=NOW))
        writer.execute(text("SET LOCAL lock_timeout = '1ms'"))
        publish_again(writer, [one.device_id])
        publisher.commit()
        publish_again(writer, [one.device_id])
        assert one.device_id in waiting(writer)


def test_a_device_that_comes_to_a_cell_whose_broker_lost_all_waits_in_no_circle(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with UnitOfWork(engine) as session, session.begin():
        (one,) = provision(session, "ear_cymba", cell="north")
        cells.add(session, "north", "mqtts://north.example.org", NOW)
        cells.add(session, FIRST_CELL, "mqtts://first.example.org", NOW)
        add(session, one.device_id, 1)
        moving.ask(session, KEY, one.device_id, FIRST_CELL, NOW)

    def publish_all() -> None:
        with UnitOfWork(engine) as session, session.begin():
            publish_all_again(session, "north")

    def publish_newest_once_the_other_waits(session: Session, device_ids: list[str]) -> None:
        """It arrives, and has its move's row."""
        others.append(pool.submit(publish_all))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with engine.connect() as look:
            wait_until(lambda: bool(look.scalar(waits)), what="the other one waits")
        publication.publish_newest(session, device_ids)

    monkeypatch.setattr(moving, "publish_newest", publish_newest_once_the_other_waits)
    others: list[Future[None]] = []
    with ThreadPoolExecutor() as pool:
        with UnitOfWork(engine) as session, session.begin():
            assert moving.arrive(session, [one.device_id], FIRST_CELL, NOW) == [one.device_id]
        others[0].result()
    with UnitOfWork(engine) as session:
        assert session.get_one(Device, one.device_id).cell == FIRST_CELL
