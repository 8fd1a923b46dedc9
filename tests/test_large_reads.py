"""Where there is no replica, and where what is named as one is none: the primary is read."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cymba.database import make_engine
from cymba.large_reads import REST_S, LargeReads

AWAY = "postgresql://nobody@127.0.0.1:1/nowhere"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def place(session: Session) -> object:
    return session.get_bind().url.database


def told(registry: CollectorRegistry) -> dict[str, float]:
    """How many were passed over, by the reason; nothing of it reaches zero again."""
    return {
        sample.labels["reason"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "cymba_replica_passed_over_total"
    }


def test_a_replica_that_is_away_is_asked_by_one_read_at_a_time(engine: Engine) -> None:
    clock, registry, replica = Clock(), CollectorRegistry(), make_engine(AWAY)
    reads = LargeReads(engine, replica, registry, clock)
    for _ in range(3):
        assert reads.read(place) == engine.url.database
    assert told(registry) == {"failed": 1, "rests": 2}
    clock.now_s += REST_S
    assert list(reads.stream(lambda session: iter([place(session)]))) == [engine.url.database]
    assert reads.read(place) == engine.url.database
    assert told(registry) == {"failed": 2, "rests": 3}


def test_the_primary_itself_is_no_replica(engine: Engine) -> None:
    """A replica that was promoted, or an address that was given twice."""
    registry = CollectorRegistry()
    assert LargeReads(engine, engine, registry).read(place) == engine.url.database
    assert told(registry) == {"another-primary": 1}


def test_a_primary_that_is_away_is_told_of_at_once(engine: Engine) -> None:
    """It is no reason to blame the replica, and none to read there what may be old."""
    registry = CollectorRegistry()
    reads = LargeReads(make_engine(AWAY), engine, registry)
    with pytest.raises(OperationalError):
        reads.read(place)
    assert told(registry) == {}


def test_a_stream_that_is_left_gives_its_connection_back(engine: Engine) -> None:
    def pieces(session: Session) -> Iterator[object]:
        yield session.scalar(text("SELECT 1"))
        yield session.scalar(text("SELECT 2"))

    read = LargeReads(engine).stream(pieces)
    assert next(read) == 1
    assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    read.close()  # type: ignore[attr-defined]
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert list(LargeReads(engine).stream(lambda _: iter([]))) == []
