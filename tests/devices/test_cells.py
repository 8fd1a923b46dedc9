"""A device belongs to one cell, and comes to another only once its programme stands there."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor
from cymba.accounts.tables import AuditEntry
from cymba.database import UnitOfWork
from cymba.devices import cells, moving
from cymba.devices.broker_rights import TopicAccess, may, may_connect
from cymba.devices.issuing import issue
from cymba.devices.messages import ReportedState
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.programme import record_report
from cymba.devices.provisioning import Credentials, provision
from cymba.devices.publication import (
    begin_publication,
    mark_published,
    publish_all_again,
    unpublished,
)
from cymba.devices.signing import verify
from cymba.devices.tables import CellMove, Device, DeviceTenure
from cymba.devices.withdrawal import ask_withdrawal, awaited_withdrawals, mark_withdrawn
from cymba.errors import Conflict, NotFound, Rejected
from cymba.operations import fleet
from cymba.settings import FIRST_CELL
from tests.devices.conftest import MakeAccount, MakeDevice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
NORTH = "north"
ADDRESS = "mqtts://north.example.org:8883"


@pytest.fixture(autouse=True)
def north(session: Session) -> None:
    cells.add(session, NORTH, ADDRESS, NOW)
    cells.add(session, FIRST_CELL, "mqtts://first.example.org", NOW)


def admitted(session: Session, one: Credentials) -> set[str]:
    """At whose brokers it is."""
    session.expire_all()
    return {
        cell
        for cell in (FIRST_CELL, NORTH)
        if may_connect(
            session, one.device_id, one.secret, one.device_id, bridge_secret=None, cell=cell
        )
    }


def set_version(session: Session, device_id: str, *, at: datetime = NOW) -> int:
    device = session.get_one(Device, device_id)
    wanted = (usual_programme(MODELS["ear_cymba"]), {"amplitude_ua": 0.0}, None)
    return issue(session, KEY, device, wanted, account_id=None, set_by=None, now=at).ver


def ask(session: Session, device_id: str, cell: str = NORTH, *, at: datetime = NOW) -> None:
    moving.ask(session, KEY, device_id, cell, at)


def publish(session: Session, cell: str) -> list[str]:
    """All that a bridge of `cell` does, with a broker that confirms it; what it published."""
    said: list[str] = []
    while True:
        session.expire_all()
        withdrawn = awaited_withdrawals(session, cell)
        waiting = unpublished(session, cell)
        prepared = moving.to_prepare(session, cell, 100)
        told = moving.to_tell(session, cell, 100, NOW)
        if not (withdrawn or waiting or prepared or told):
            return said
        said += ["withdrawn" for _ in withdrawn] + ["desired" for _ in waiting]
        said += ["prepared" for _ in prepared] + ["told" for _ in told]
        mark_withdrawn(session, withdrawn, cell)
        mark_published(session, waiting, cell, NOW)
        moving.mark_prepared(session, prepared, NOW)
        moving.mark_told(session, told, NOW)


def test_a_device_is_admitted_by_its_own_cell_alone(session: Session, device: MakeDevice) -> None:
    here = device()
    (there,) = provision(session, "ear_cymba", cell=NORTH)
    assert (admitted(session, here), admitted(session, there)) == ({FIRST_CELL}, {NORTH})
    topic = f"cymba/v1/{there.device_id}/up/frame"
    for cell, is_its_own in ((FIRST_CELL, False), (NORTH, True)):
        assert may(session, there.device_id, TopicAccess.PUBLISH, topic, cell=cell) is is_its_own
    both = {here.device_id, there.device_id, "nobody-0001"}
    assert cells.elsewhere(session, both, FIRST_CELL) == {there.device_id: NORTH}
    assert [one[:1] + one[2:] for one in cells.cells(session)] == [
        (FIRST_CELL, 1, 0),
        (NORTH, 1, 0),
    ]


def test_a_device_may_come_once_its_newest_programme_stands_there(
    session: Session, device: MakeDevice
) -> None:
    one = device()
    set_version(session, one.device_id)
    publish(session, FIRST_CELL)
    ask(session, one.device_id)
    assert publish(session, FIRST_CELL) == []  # it is told of no place that is not ready
    assert admitted(session, one) == {FIRST_CELL}
    (prepared,) = _after_withdrawals(session)
    narrower = set_version(session, one.device_id, at=NOW + timedelta(hours=1))
    moving.mark_prepared(session, [prepared], NOW)  # the broker's answer came late
    assert admitted(session, one) == {FIRST_CELL}
    assert publish(session, NORTH) == ["prepared"]
    assert admitted(session, one) == {FIRST_CELL, NORTH}
    set_version(session, one.device_id, at=NOW + timedelta(hours=2))
    assert admitted(session, one) == {FIRST_CELL}  # until that one stands there too
    assert publish(session, NORTH) == ["prepared"]
    (telling,) = moving.to_tell(session, FIRST_CELL, 9, NOW)
    assert telling.relocation.broker == ADDRESS
    assert verify(KEY.public_key(), one.device_id, telling.relocation)
    assert not verify(KEY.public_key(), "another-0001", telling.relocation)
    assert publish(session, FIRST_CELL) == ["desired", "told"]
    assert narrower


def _after_withdrawals(session: Session) -> list[moving.Preparation]:
    assert moving.to_prepare(session, NORTH, 9) == []  # what it left there before goes first
    mark_withdrawn(session, awaited_withdrawals(session, NORTH), NORTH)
    return moving.to_prepare(session, NORTH, 9)


def come(session: Session, one: Credentials) -> None:
    ask(session, one.device_id)
    publish(session, NORTH)
    assert moving.arrive(session, [one.device_id, "nobody-0001"], NORTH, NOW) == [one.device_id]


def test_what_a_dead_broker_retains_is_withdrawn_when_it_is_back(
    session: Session, device: MakeDevice
) -> None:
    one = device()
    set_version(session, one.device_id)
    publish(session, FIRST_CELL)
    come(session, one)  # the first cell's bridge could do nothing
    assert admitted(session, one) == {NORTH}
    assert publish(session, NORTH) == ["desired"]
    assert awaited_withdrawals(session, NORTH) == []
    set_version(session, one.device_id, at=NOW + timedelta(hours=1))
    ask_withdrawal(session, [one.device_id], NOW + timedelta(hours=1))  # as it is let go
    assert publish(session, NORTH) == ["withdrawn", "desired"]
    assert publish(session, FIRST_CELL) == ["withdrawn"]
    assert publish(session, NORTH) == publish(session, FIRST_CELL) == []


def test_a_version_that_the_old_broker_confirms_late_is_published_where_the_device_is(
    session: Session, device: MakeDevice
) -> None:
    one = device()
    ask(session, one.device_id)
    publish(session, NORTH)
    set_version(session, one.device_id)
    on_its_way = unpublished(session, FIRST_CELL)
    assert moving.arrive(session, [one.device_id], NORTH, NOW)
    mark_published(session, on_its_way, FIRST_CELL, NOW)
    assert publish(session, NORTH) == ["desired"]


def test_a_broker_that_lost_all_admits_nobody_who_is_to_come_until_it_is_told_again(
    session: Session, device: MakeDevice
) -> None:
    one, resident = device(), device()
    for each in (one, resident):
        set_version(session, each.device_id)
    ask(session, one.device_id)
    publish(session, NORTH)
    publish(session, FIRST_CELL)
    publish_all_again(session, NORTH)
    assert admitted(session, one) == {FIRST_CELL}
    assert publish(session, NORTH) == ["prepared"]
    assert publish(session, FIRST_CELL) == []  # its own broker has lost nothing
    publish_all_again(session, FIRST_CELL)
    assert publish(session, FIRST_CELL) == ["desired", "desired", "told"]
    assert publish(session, NORTH) == []


def test_a_device_that_does_not_follow_is_told_again_after_a_while(
    session: Session, device: MakeDevice
) -> None:
    """Whatever became of the message: nobody remembers what a broker may have lost."""
    one = device()
    ask(session, one.device_id)
    publish(session, NORTH)
    at = NOW
    for _ in range(2):
        (telling,) = moving.to_tell(session, FIRST_CELL, 9, at)
        moving.mark_told(session, [telling], at)
        assert moving.to_tell(session, FIRST_CELL, 9, at + timedelta(minutes=59)) == []
        at += timedelta(minutes=61)
    assert moving.arrive(session, [one.device_id], NORTH, at) == [one.device_id]
    assert moving.to_tell(session, FIRST_CELL, 9, at + timedelta(days=1)) == []


def test_a_device_that_is_to_stay_after_all_stays(session: Session, device: MakeDevice) -> None:
    one = device()
    with pytest.raises(Conflict, match="already"):
        ask(session, one.device_id, FIRST_CELL)
    ask(session, one.device_id)
    publish(session, NORTH)
    ask(session, one.device_id, FIRST_CELL)
    assert admitted(session, one) == {FIRST_CELL}
    assert publish(session, NORTH) == publish(session, FIRST_CELL) == ["withdrawn"]
    assert moving.arrive(session, [one.device_id], NORTH, NOW) == []


def test_of_two_moves_in_a_row_the_second_holds_wherever_the_device_is(
    session: Session, device: MakeDevice
) -> None:
    one = device()
    cells.add(session, "south", "mqtts://south.example.org", NOW)
    set_version(session, one.device_id)
    publish(session, FIRST_CELL)
    ask(session, one.device_id)
    publish(session, NORTH)
    (first,) = moving.to_tell(session, FIRST_CELL, 9, NOW)
    publish(session, FIRST_CELL)
    ask(session, one.device_id, "south")
    # It was on its way: the north lets it in no more, and its bridge sends it back.
    assert admitted(session, one) == {FIRST_CELL}
    assert moving.arrive(session, [one.device_id], NORTH, NOW) == []
    assert cells.elsewhere(session, [one.device_id], NORTH) == {one.device_id: FIRST_CELL}
    assert publish(session, NORTH) == ["withdrawn"]
    assert publish(session, "south") == ["withdrawn", "prepared"]
    assert "withdrawn" in publish(session, FIRST_CELL)  # with where it was to go
    moving.mark_told(session, [first], NOW)  # an answer of the broker that comes late
    move = session.get_one(CellMove, one.device_id, populate_existing=True)
    assert (move.to_cell, move.at_ms > first.relocation.at) == ("south", True)
    assert moving.arrive(session, [one.device_id], "south", NOW) == [one.device_id]
    assert publish(session, "south") == ["desired"]
    assert cells.elsewhere(session, [one.device_id], FIRST_CELL) == {one.device_id: "south"}


def test_a_device_that_does_not_move_after_all_keeps_what_it_reported_at_its_broker(
    session: Session, device: MakeDevice
) -> None:
    """A reset takes it from its flash, and the broker has it still."""
    one = device().device_id
    ver = set_version(session, one)
    publish(session, FIRST_CELL)
    record_report(session, one, ReportedState(ver=ver, applied=True), NOW)
    ask(session, one)
    ask(session, one, FIRST_CELL)
    assert publish(session, FIRST_CELL) == ["withdrawn", "desired"]


@pytest.mark.parametrize("is_followed", [True, False])
def test_a_move_is_above_every_earlier_one_though_the_clock_went_back(
    session: Session, device: MakeDevice, is_followed: bool
) -> None:
    one = device().device_id
    ask(session, one)
    first_ms = session.get_one(CellMove, one).at_ms
    if is_followed:
        assert moving.arrive(session, [one], NORTH, NOW) == [one]
    else:
        ask(session, one, FIRST_CELL)  # it is to stay, but may have been there and come back
    session.expire_all()
    assert session.get(CellMove, one) is None
    ask(session, one, FIRST_CELL if is_followed else NORTH, at=NOW - timedelta(days=1))
    assert session.get_one(CellMove, one).at_ms > first_ms


def test_a_device_that_is_heard_from_elsewhere_has_not_come(
    session: Session, device: MakeDevice
) -> None:
    one = device()
    ask(session, one.device_id)
    assert moving.arrive(session, [one.device_id], FIRST_CELL, NOW) == []
    assert admitted(session, one) == {FIRST_CELL}


@pytest.mark.parametrize(
    ("name", "address"),
    [("North", ADDRESS), ("no rth", ADDRESS), ("", ADDRESS), ("n" * 32, ADDRESS),
     ("south", "north.example.org"), ("south", "mqtts://bridge:secret@north.example.org"),
     ("south", "mqtt://" + "n" * 300), ("south", "mqtts://nörth.example.org")],
)  # fmt: skip
def test_a_cell_needs_a_plain_name_and_an_address_for_devices(
    session: Session, name: str, address: str
) -> None:
    with pytest.raises(Rejected) as refused:
        cells.add(session, name, address, NOW)
    assert "secret" not in str(refused.value)


def test_a_device_is_not_sent_where_it_would_not_go_because_that_has_no_tls(
    session: Session, device: MakeDevice
) -> None:
    one = device().device_id
    cells.add(session, "plain", "mqtt://plain.example.org", NOW)
    with pytest.raises(Rejected, match="is without TLS"):
        ask(session, one, "plain")
    assert session.get(CellMove, one) is None
    cells.add(session, FIRST_CELL, "mqtt://first.example.org", NOW)
    ask(session, one, "plain")
    assert session.get_one(CellMove, one).to_cell == "plain"


def test_a_move_is_in_the_log_of_whoever_holds_the_device(
    session: Session, device: MakeDevice, account: MakeAccount
) -> None:
    one, holder = device(), account("holder")
    session.add(DeviceTenure(device_id=one.device_id, account_id=holder, claimed_at=NOW))
    session.flush()
    by = Actor("operator", "olive")
    fleet.move(session, KEY, one.serial.lower(), NORTH, by=by, now=NOW)
    told = session.execute(
        select(AuditEntry.account_id, AuditEntry.action, AuditEntry.detail)
    ).all()
    assert told == [(holder, "device.moved", {"device": one.device_id, "cell": NORTH})]
    with pytest.raises(NotFound):
        fleet.move(session, KEY, "EY0000000000", NORTH, by=by, now=NOW)
    with pytest.raises(Rejected, match="there are first, north"):
        fleet.move(session, KEY, one.device_id, "nroth", by=by, now=NOW)


def test_a_broker_that_confirms_nothing_holds_up_no_other_cell(engine: Engine) -> None:
    with UnitOfWork(engine) as stuck, UnitOfWork(engine) as other:
        assert begin_publication(stuck, FIRST_CELL)
        assert not begin_publication(other, FIRST_CELL)
        assert begin_publication(other, NORTH)
