"""The database packs the ratings: of entries from before, of the version before, of whoever."""

from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from ops import schema
from tests.packed_ratings import packed

ADD_PERSON = text(
    "INSERT INTO account (id, email, name, time_zone, locale, role, version)"
    " VALUES (:id, 'a@x.org', '', 'UTC', 'en', 'person', 1)"
)
ADD_ENTRY = text(
    "INSERT INTO diary_entry (account_id, id, felt_at, time_zone, items, written_at, version,"
    "  field_versions)"
    " VALUES (:id, gen_random_uuid(), now(), 'UTC', CAST(:items AS jsonb), now(), 1, '{}')"
)
PACKED = text("SELECT items, ratings FROM diary_entry")
SAID = (
    "{}",
    '{"mood": 0, "pain_now": 10, "phq4": [1, null, 2, 3], "sleep_hours": 7.3}',
    '{"cough": {"severity": "mild"}, "medication": [{"name": "\\"mood\\": 3", "dose": "5"}]}',
    '{"sleep_hours": 6.333333333333333, "lab": [{"name": "crp", "value": 3.1}], "pgic": 4}',
    '{"mood": null, "cycle_start": true, "unheard_of": 5e-3}',
)


def assert_packed(connection: Connection, entries: int) -> None:
    rows = connection.execute(PACKED).all()
    assert len(rows) == entries
    for items, ratings in rows:
        each = sorted(ratings[at : at + 10] for at in range(0, len(ratings), 10))
        assert b"".join(each) == packed(items), items


def test_every_entry_has_its_ratings_whoever_wrote_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.downgrade(engine, "0048")
    id_ = uuid4()
    said = [{"id": id_, "items": items} for items in SAID]
    with engine.begin() as connection:
        connection.execute(ADD_PERSON, {"id": id_})
        connection.execute(ADD_ENTRY, said)
    fill = next(step for step in schema.history() if step.revision == "0050")
    monkeypatch.setattr(fill.module, "_AT_ONCE", 2)
    schema.upgrade(engine)
    with engine.begin() as connection:
        assert_packed(connection, len(SAID))
        connection.execute(ADD_ENTRY, said)
        connection.execute(text("UPDATE diary_entry SET items = items || '{\"mood\": 7}'"))
        assert_packed(connection, 2 * len(SAID))
        connection.execute(text("UPDATE diary_entry SET ratings = '', version = 2"))
        assert_packed(connection, 2 * len(SAID))
