"""On several nodes frames are written, summed up and compacted part by part, as on one."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from cymba.database import Prepared
from cymba.settings import Settings
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Stored
from cymba.stimulation.ingest.fast_path import append
from tests.stimulation.ingest.conftest import AT, Uplink, samples, to_json
from workers.session_worker import SessionWorker

DEVICES = [f"device-{number}" for number in range(3, 9)]


@pytest.fixture
def named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[Any]]]:
    """The ids that each statement names of a part, of two; Citus would refuse others."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION get_shard_id_for_distribution_column(text, anyelement) RETURNS"
                " bigint IMMUTABLE LANGUAGE sql AS 'SELECT ascii(right(CAST($2 AS text), 1)) % 2'"
            )
        )
    engine.dispose()  # what a connection stands before, it asks once
    found: list[list[Any]] = []
    whole = Prepared.values

    def values(one: Prepared, **given: Any) -> list[Any]:
        if "part" in given:
            found.append(given["part"])
        return whole(one, **given)

    def execute(_: object, _cursor: object, _statement: str, given: Any, *_more: object) -> None:
        if "part" in given:
            found.append(given["part"])

    monkeypatch.setattr(Prepared, "values", values)
    event.listen(engine, "before_cursor_execute", execute)
    yield found
    event.remove(engine, "before_cursor_execute", execute)


def test_each_statement_takes_devices_of_one_part(
    named: list[list[Any]], line: Uplink, engine: Engine
) -> None:
    for device_id in DEVICES:
        line.hold(device_id)

    def batch(seq: int) -> list[Delivery]:
        payload = to_json(samples(seq))
        return [Delivery(device_id, payload, AT, True) for device_id in reversed(DEVICES)]

    first = line.deliver(batch(1))
    assert [type(one) for one in first.outcomes] == [Stored] * len(DEVICES)
    assert {device_id: ack.upto for device_id, ack in first.acks} == dict.fromkeys(DEVICES, 1)
    held = engine.raw_connection()
    connection: Any = held.driver_connection
    connection.autocommit = True
    appended = append(connection, batch(2), AnchorCache())
    held.invalidate()
    assert {one.device_id for one in appended.stored} == set(DEVICES)
    assert {device_id: ack.upto for device_id, ack in appended.acks} == dict.fromkeys(DEVICES, 2)
    again = line.deliver([*batch(2), *batch(3)])
    assert [type(one) for one in again.outcomes] == [Duplicate] * 6 + [Stored] * 6
    assert line.rows("SELECT count(*) FROM frame") == [(18,)]
    worker = SessionWorker(engine, Settings(), clock=lambda: AT + timedelta(days=2))
    assert worker.run_once().summarised == len(DEVICES)
    worker.run_once()
    assert line.rows("SELECT count(*) FROM recording") == [(len(DEVICES),)]
    assert line.rows("SELECT count(*) FROM change WHERE kind = 'session'") == [(len(DEVICES),)]
    is_odd = {one: ord(str(one)[-1]) % 2 for of_part in named for one in of_part}
    assert all(len({is_odd[one] for one in of_part}) == 1 for of_part in named)
    of_devices = [one for one in named if one[0] in DEVICES]
    assert [max(len(one) for one in of_devices if is_odd[one[0]] == n) for n in (0, 1)] == [3, 3]
