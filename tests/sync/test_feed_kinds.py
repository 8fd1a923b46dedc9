"""A version that knows a kind more beside one that does not know it: nobody loses a change."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import Kind, announce
from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork
from cymba.errors import Gone
from cymba.sync import feed as feed_module
from cymba.sync.feed import KINDS, Position, renew_epoch
from tests.sync.feed_pages import read_feed

OLD: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "reminder")
OLDER: tuple[Kind, ...] = tuple(kind for kind in OLD if kind != "remark")
VERSIONS = {"new": KINDS, "old": OLD, "older": OLDER}
TOLD: tuple[Kind, ...] = ("device", "reminder", "remark")


class Reader:
    """An app: what it has heard of each thing last, by whichever process answered."""

    def __init__(self, session: Session, account_id: UUID, patch: pytest.MonkeyPatch) -> None:
        self.session, self.account_id, self.patch = session, account_id, patch
        self.position: Position | None = None
        self.heard: dict[str, bool] = {}  # whether it was deleted

    def pull(self, version: str, *, limit: int = 200) -> None:
        self.patch.setattr(feed_module, "KINDS", VERSIONS[version])
        if self.position is not None:  # a cursor of all has no names of kinds
            self.position = replace(self.position, kinds=VERSIONS[version])
        more = True
        while more:
            page = read_feed(
                self.session, self.account_id, self.position, kinds=VERSIONS[version], limit=limit
            )
            self.heard |= {id_: False for ids in page.told.values() for id_ in ids}
            self.heard |= {one.entity_id: True for one in page.tombstones}
            self.position, more = page.position, page.more
        self.session.rollback()


@pytest.fixture
def reader(session: Session, account_id: UUID, monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(session, account_id, monkeypatch)


@pytest.fixture
def tell(engine: Engine, account_id: UUID) -> Callable[..., str]:
    def tell_(kind: Kind, id_: str | None = None, *, deleted: bool = False) -> str:
        id_ = id_ or str(uuid4())
        with UnitOfWork(engine) as session, session.begin():
            announce(session, account_id, kind, id_, deleted=deleted)
        return id_

    return tell_


def test_what_an_older_process_passed_is_told_by_the_next(
    reader: Reader, tell: Callable[..., str]
) -> None:
    device, reminder, gone = tell("device"), tell("reminder"), tell("reminder")
    reader.pull("new")
    later = tell("reminder")
    tell("reminder", gone, deleted=True)
    after = tell("device")
    reader.pull("old")
    assert reader.heard == {device: False, reminder: False, gone: False, after: False}
    reader.pull("old")  # it is not asked for the same for ever
    reader.pull("new")
    assert reader.heard == {
        device: False, reminder: False, gone: True, after: False, later: False,
    }  # fmt: skip
    position = reader.position
    reader.pull("new")
    assert reader.position == position


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_processes_answer_in_turn_nothing_is_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """Of three versions, in pages of any size; the newest has the last word."""
    with UnitOfWork(engine) as session:
        account = Account(email=f"{uuid4()}@example.org")
        session.add(account)
        session.commit()
        reader = Reader(session, account.id, monkeypatch)
        latest: dict[str, bool] = {}
        for _ in range(data.draw(st.integers(1, 5))):
            for _ in range(data.draw(st.integers(0, 4))):
                kind = data.draw(st.sampled_from(TOLD))
                id_ = f"{kind}-{data.draw(st.integers(1, 3))}"
                latest[id_] = data.draw(st.booleans())
                with UnitOfWork(engine) as writing, writing.begin():
                    announce(writing, account.id, kind, id_, deleted=latest[id_])
            version = data.draw(st.sampled_from(sorted(VERSIONS)))
            reader.pull(version, limit=data.draw(st.integers(1, 4)))
        reader.pull("new", limit=data.draw(st.integers(1, 4)))
    # What was deleted before the app first read was never told, and need not be.
    assert {id_ for id_, deleted in latest.items() if not deleted} == {
        id_ for id_, deleted in reader.heard.items() if not deleted
    }


def test_a_cursor_beyond_the_counter_is_from_before_a_restore(
    engine: Engine, reader: Reader, tell: Callable[..., str]
) -> None:
    """Also where nobody has begun a new epoch."""
    ids = [tell("device") for _ in range(3)]
    reader.pull("new")
    with UnitOfWork(engine) as session, session.begin():  # the backup knew the first
        session.execute(delete(Change).where(Change.entity_id.in_(ids[1:])))
        session.execute(update(Account).values(change_counter=1))
    with pytest.raises(Gone) as lost:
        reader.pull("new")
    assert lost.value.code == "restored"


def test_a_new_epoch_says_that_a_backup_was_restored(
    engine: Engine, reader: Reader, tell: Callable[..., str]
) -> None:
    tell("device")
    reader.pull("new")
    with UnitOfWork(engine) as session, session.begin():
        renew_epoch(session)
    with pytest.raises(Gone) as lost:
        reader.pull("new")
    assert lost.value.code == "restored"
