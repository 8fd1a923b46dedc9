from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from cymba.accounts.merging import Applied, Conflicting, Seen
from cymba.accounts.tables import Account
from cymba.diary.entries import DiaryEntries, page
from cymba.diary.fields import red_flags
from cymba.errors import NotFound, PreconditionFailed, PreconditionRequired, Rejected

entries = DiaryEntries(Ed25519PrivateKey.generate())
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FELT = {"felt_at": NOW - timedelta(hours=2), "time_zone": "Europe/Berlin"}


def unseen(stored: int | None) -> None:
    if stored is not None:
        raise PreconditionRequired("no version was named")


def seen(version: int) -> Callable[[int | None], None]:
    def match(stored: int | None) -> None:
        if stored != version:
            raise PreconditionFailed("another version")

    return match


def entry(**items: Any) -> dict[str, Any]:
    return FELT | {f"items.{name}": value for name, value in items.items()}


def test_put_is_idempotent_and_needs_the_version_only_for_a_change(
    session: Session, account_id: UUID
) -> None:
    id_ = uuid4()
    first = entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    again = entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    assert (first.changed, again.changed, again.row.version) == (True, False, 1)
    with pytest.raises(PreconditionRequired):
        entries.put(session, account_id, id_, entry(pain_now=5), match=unseen, now=NOW)
    with pytest.raises(PreconditionFailed):
        entries.put(session, account_id, id_, entry(pain_now=5), match=seen(7), now=NOW)
    changed = entries.put(session, account_id, id_, entry(pain_now=5), match=seen(1), now=NOW)
    assert (changed.row.version, changed.row.items) == (2, {"pain_now": 5})


def test_put_takes_away_what_it_does_not_name(session: Session, account_id: UUID) -> None:
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4, mood=6), match=unseen, now=NOW)
    put = entries.put(session, account_id, id_, entry(mood=6), match=seen(1), now=NOW)
    assert put.row.items == {"mood": 6}
    assert put.row.field_versions["items.pain_now"] == 2


def test_edits_of_different_fields_merge(session: Session, account_id: UUID) -> None:
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4, mood=6), match=unseen, now=NOW)
    for fields in ({"items.pain_now": 5}, {"items.mood": 7}, {"note": "rain"}):
        outcome = entries.merge(session, account_id, id_, fields, seen=Seen(1), now=NOW)
        assert isinstance(outcome, Applied)
    merged = entries.get(session, account_id, id_)
    assert merged.items == {"pain_now": 5, "mood": 7}
    assert merged.note == "rain"


def test_edits_of_one_field_conflict_and_nothing_is_applied(
    session: Session, account_id: UUID
) -> None:
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    entries.merge(session, account_id, id_, {"items.pain_now": 5}, seen=Seen(1), now=NOW)
    both = {"items.pain_now": 6, "note": "rain"}
    outcome = entries.merge(session, account_id, id_, both, seen=Seen(1), now=NOW)
    assert isinstance(outcome, Conflicting)
    assert outcome.fields == ("items.pain_now",)
    assert outcome.row.note is None


def test_the_same_edit_on_two_phones_is_no_conflict(session: Session, account_id: UUID) -> None:
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    for changed in (True, False):
        outcome = entries.merge(
            session, account_id, id_, {"items.pain_now": 5}, seen=Seen(1), now=NOW
        )
        assert isinstance(outcome, Applied)
        assert outcome.changed is changed


def test_deleting_what_another_phone_edited_is_a_conflict(
    session: Session, account_id: UUID
) -> None:
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    entries.merge(session, account_id, id_, {"note": "rain"}, seen=Seen(1), now=NOW)
    assert isinstance(entries.remove(session, account_id, id_, seen=Seen(1), now=NOW), Conflicting)
    assert isinstance(entries.remove(session, account_id, id_, seen=Seen(2), now=NOW), Applied)


def test_a_tombstone_holds_no_words_and_only_its_reader_may_revive_it(
    session: Session, account_id: UUID
) -> None:
    id_ = uuid4()
    written = entry(pain_now=4) | {"note": "private"}
    entries.put(session, account_id, id_, written, match=unseen, now=NOW)
    tombstone = entries.delete(session, account_id, id_, match=seen(1), now=NOW).row
    assert (tombstone.items, tombstone.note, entries.flat(tombstone)) == ({}, None, {})
    with pytest.raises(NotFound):
        entries.get(session, account_id, id_)
    unread = entries.merge(session, account_id, id_, entry(mood=3), seen=Seen(1), now=NOW)
    assert isinstance(unread, Conflicting)
    revived = entries.merge(session, account_id, id_, entry(mood=3), seen=Seen(2), now=NOW)
    assert isinstance(revived, Applied)
    assert entries.get(session, account_id, id_).items == {"mood": 3}


def test_the_same_id_in_another_account_is_another_entry(
    session: Session, account_id: UUID
) -> None:
    other = Account(email="other@example.org")
    session.add(other)
    session.flush()
    id_ = uuid4()
    entries.put(session, account_id, id_, entry(pain_now=4), match=unseen, now=NOW)
    with pytest.raises(NotFound):
        entries.get(session, other.id, id_)
    entries.put(session, other.id, id_, entry(pain_now=9), match=unseen, now=NOW)
    assert entries.get(session, account_id, id_).items == {"pain_now": 4}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        (entry(pain_now=11), "/items/pain_now"),
        (entry(phq4=[0, 0, 0, 9]), "/items/phq4/3"),
        (entry(nonsense=1), "/items/nonsense"),
        (FELT | {"pain_now": 4}, "/pain_now"),
        (FELT | {"time_zone": "Mars/Olympus"}, "/time_zone"),
        (FELT | {"felt_at": NOW + timedelta(days=2)}, "/felt_at"),
        (FELT | {"felt_at": datetime(2026, 1, 1)}, "/felt_at"),  # noqa: DTZ001 - the very fault
        (FELT | {"note": "a\0b"}, "/note"),
        ({"time_zone": "UTC"}, "/felt_at"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_pointer(
    session: Session, account_id: UUID, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Rejected) as refusal:
        entries.put(session, account_id, uuid4(), fields, match=unseen, now=NOW)
    assert [error["pointer"] for error in refusal.value.errors] == [pointer]


def test_pages_are_whole_and_newest_first(session: Session, account_id: UUID) -> None:
    for i in range(25):
        felt = {"felt_at": NOW - timedelta(hours=i // 3), "time_zone": "UTC", "items.mood": i % 11}
        entries.put(session, account_id, uuid4(), felt, match=unseen, now=NOW)
    seen, after = [], None
    while True:
        found = page(session, account_id, after=after, limit=4)
        seen += found.entries
        if found.next_after is None:
            break
        after = found.next_after
    assert len({entry.id for entry in seen}) == len(seen) == 25
    assert seen == sorted(seen, key=lambda e: (e.felt_at, e.id), reverse=True)


def test_red_flags_are_those_that_were_felt() -> None:
    felt = {"severity": "mild"}
    assert red_flags({"items.chest_pain": felt, "items.cough": felt}) == ["chest_pain"]
    assert red_flags({"items.fainting": {"severity": "none"}, "items.chest_pain": None}) == []
