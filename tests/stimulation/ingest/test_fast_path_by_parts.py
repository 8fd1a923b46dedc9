"""On several nodes the fast path sends a statement for each part, and each commits by itself."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from cymba.devices.quotas import FRAME_BYTES, STORED, Demand, Quota
from cymba.stimulation.ingest import fast_path
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.fast_path import append
from tests.stimulation.ingest.conftest import AT, SID, Uplink, samples, to_json

DEVICES = ("device-1", "device-2")


def test_what_one_part_has_committed_is_counted_though_a_later_one_fails(
    line: Uplink, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors, quota, demand = AnchorCache(), Quota(), Demand()
    for one in DEVICES:
        anchors.remember(line.send(samples(1), device_id=one).anchors)
    demand.store(SID, 2_000)
    with line.session.begin():
        quota.settle(line.session, dict.fromkeys(DEVICES, demand), AT)
    write = fast_path._write

    def fail(connection: Any, usual: Any) -> Any:
        if any(key.device_id == "device-2" for key in usual):
            raise psycopg.OperationalError("the node is away")
        return write(connection, usual)

    monkeypatch.setattr(fast_path, "_write", fail)
    monkeypatch.setattr(fast_path, "parts", lambda _, ids: [[one] for one in sorted(ids)])
    batch = [Delivery(one, to_json(samples(2)), AT, True) for one in DEVICES]
    held = engine.raw_connection()
    connection: Any = held.driver_connection
    connection.autocommit = True
    with quota.reserve() as taken:
        appended = append(connection, batch, anchors, quota=taken)
    assert (appended.stored, appended.left) == (batch[:1], batch[1:])
    assert [device_id for device_id, _ in appended.acks] == ["device-1"]
    assert [quota._meter(STORED, one).spent for one in DEVICES] == [FRAME_BYTES, 0]
    with pytest.raises(psycopg.OperationalError), quota.reserve() as taken:
        append(connection, appended.left, anchors, quota=taken)
    assert quota._meter(STORED, "device-2").spent == 0
    held.invalidate()
