"""On several nodes a batch is written part by part, with the same result as on one."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from cymba.database import Prepared
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Stored
from cymba.stimulation.ingest.fast_path import append
from tests.stimulation.ingest.conftest import AT, Uplink, samples, to_json

DEVICES = [f"device-{number}" for number in range(3, 9)]


@pytest.fixture
def named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The devices that each statement names of a part, of two; Citus would refuse more parts."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION get_shard_id_for_distribution_column(text, text) RETURNS bigint"
                " IMMUTABLE LANGUAGE sql AS 'SELECT mod(CAST(right($2, 1) AS bigint), 2)'"
            )
        )
    engine.dispose()  # what a connection stands before, it asks once
    found: list[list[str]] = []
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
    named: list[list[str]], line: Uplink, engine: Engine
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
    parts = [
        sorted(device_id for device_id in DEVICES if int(device_id[-1]) % 2 == n) for n in (0, 1)
    ]
    assert all(one in parts for one in named)
    assert [named.count(part) > 2 for part in parts] == [True, True]
