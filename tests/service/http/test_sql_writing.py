"""What PostgreSQL writes of a session is what the shape's writer would: the same value, always."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Float, insert, literal, literal_column, select, text
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.accounts.written_fields import LONG_AGO
from cymba.database import UnitOfWork, line_of
from cymba.devices.messages import Programme
from cymba.devices.tables import Device
from cymba.diary.entries import entry_in_sql
from cymba.diary.fields import to_confirm
from cymba.diary.tables import ReadEntry
from cymba.stimulation.session.pages import SessionPages
from cymba.stimulation.session.shown import NAMES, recorded_shown
from cymba.stimulation.session.summary import DOUBTS
from cymba.stimulation.tables import StimulationSession
from service.http.answers import dumps
from service.http.rounding import LARGEST, SCALES
from service.http.sql_writing import WrittenInSql
from service.shapes.findings import FindingSchema
from service.shapes.sessions import SessionSchema, session_shown

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
PAGES = SessionPages(WrittenInSql(SessionSchema))
TABLE = StimulationSession.__table__.c
FLOATS = [name for name in NAMES if isinstance(TABLE[name].type, Float) and name != "completeness"]
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def numbers(name: str) -> st.SearchStrategy[float]:
    """Those between two steps of the last decimal most of all, which rounding decides."""
    scale = SCALES[name]
    between = st.integers(-(10**7), 10**7).map(lambda half: half / 2 / scale)
    odd = st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, float("nan"), float("inf"), 5e-324, 1e308])
    return between | odd | st.floats()


PROGRAMMES = st.none() | st.fixed_dictionaries(
    {"site": st.just("tragus")},
    optional={
        name: st.none() | st.floats(0.1, 1e4) if name == "frequency_hz" else st.none() | st.just(7)
        for name in Programme.__struct_fields__
        if name not in {"site", "side"}
    },
)
ROWS = st.fixed_dictionaries(
    {
        "time_zone": st.just("Europe/Berlin"),
        "state": st.sampled_from(["open", "ended"]),
        "started_at": MOMENTS,
        "time_source": st.just("arrival"),
        "time_error_ms": st.integers(0, 2**40),
        "end_reason": st.none() | st.just("completed"),
        "programme": PROGRAMMES,
        "frames_stored": st.integers(0, 10**6),
        "frames_expected": st.none() | st.integers(0, 2**40),
        "completeness": st.none() | st.floats(0, 1),
        "sample_count": st.integers(0, 10**6),
        "pulses": st.none() | st.integers(0, 2**40),
        "event_count": st.integers(0, 9),
        "boots": st.lists(st.integers(0, 2**32), max_size=3),
        "doubts": st.lists(st.sampled_from(list(DOUBTS)), max_size=2),
        "note": st.none() | TEXTS,
        "excluded": st.booleans(),
        "version": st.integers(1, 2**31 - 1),
        "changed_at": MOMENTS,
    }
    | {
        name: numbers(name) if name == "contact_lost_s" else st.none() | numbers(name)
        for name in FLOATS
    }
)


ENTRY: dict[str, Any] = dict.fromkeys(ReadEntry._fields)


@pytest.fixture
def account_id(engine: Engine) -> UUID:
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="ada@example.org")
        session.add_all([account, Device(id="device-0001", serial="S", model="ear_cymba")])
        session.flush()
        return account.id


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ROWS, min_size=1, max_size=8))
def test_a_page_in_sql_is_what_the_writer_writes(
    engine: Engine, account_id: UUID, rows: list[dict[str, Any]]
) -> None:
    key = {"device_id": "device-0001", "account_id": account_id}
    stored = [
        {**row, **key, "id": uuid4(), "sid": uuid4()}
        | {"ended_at": row["started_at"] + timedelta(minutes=1)}
        for row in rows
    ]
    with UnitOfWork(engine) as session:
        session.execute(insert(StimulationSession), stored)
        page = PAGES.read(line_of(session), account_id, None)
        kept = session.execute(select(*(TABLE[name] for name in NAMES))).mappings()
        by_id = {
            str(row["id"]): session_shown(recorded_shown({name: row[name] for name in NAMES}))
            for row in kept
        }
        session.rollback()
    assert page is not None
    assert len(page.items) == len(rows)
    for item in page.items:
        assert isinstance(item, str)
        written = orjson.loads(item)
        assert written == orjson.loads(dumps(by_id[written["id"]]))


def test_times_are_in_utc_whatever_the_connection_is_set_to(session: Session) -> None:
    session.execute(text("SET LOCAL TIME ZONE 'Asia/Kolkata'"))
    began = WrittenInSql(SessionSchema)("started_at", literal(BEGAN))
    assert session.scalar(select(began)) == "2026-03-01T00:00:00.000000Z"


def test_whether_an_entry_is_long_before_it_was_written_does_not_depend_on_that_either(
    session: Session,
) -> None:
    session.execute(text("SET LOCAL TIME ZONE 'Europe/Berlin'"))
    spring = datetime(2026, 3, 29, 12, tzinfo=UTC)  # a day of 23 hours there
    entry = ENTRY | {"felt_at": spring - LONG_AGO, "written_at": spring}
    row = select(*(literal(value).label(name) for name, value in entry.items())).subquery().c
    shown = select(*entry_in_sql(row, lambda _, column: column))
    assert session.execute(shown).one().to_confirm == to_confirm(ReadEntry(**entry))


def test_what_sql_would_write_otherwise_is_refused() -> None:
    of_finding = WrittenInSql(FindingSchema)
    with pytest.raises(TypeError, match="effect"):  # rounded so that it keeps its sign
        of_finding("effect", literal_column("1"))
    with pytest.raises(TypeError, match="sentence"):
        of_finding("sentence", literal_column("1"))
    with pytest.raises(TypeError, match="n is not"):
        of_finding("n", literal_column("1"))
