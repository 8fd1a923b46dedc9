"""What a collector is told of a batch: how many, what was asked of the database, and no device."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cymba.database import make_engine
from cymba.devices.provisioning import Credentials
from cymba.stimulation.wire.messages import to_json
from tests.collector import Collector, attributes, collecting_here
from tests.end_to_end.devices import session_frames
from tests.end_to_end.parts import wait_until
from tests.mqtt_bridge.test_writer import (  # noqa: F401 - a fixture
    WriterBench,
    bench,
    deliveries,
    fill,
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting_here() as collector:
        yield collector


@pytest.fixture
def engine(collector: Collector, database_url: str) -> Iterator[Engine]:  # noqa: ARG001
    """That of all parts here, made once its statements are told."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


def test_a_batch_is_told_with_its_commits_and_its_acks(
    bench: WriterBench,  # noqa: F811
    devices: list[Credentials],
    collector: Collector,
) -> None:
    holder, *_ = devices
    frames = session_frames(5, 40, 1)
    some = deliveries(holder.device_id, [to_json(one) for one in frames[:20]])
    others = deliveries(holder.device_id, [to_json(one) for one in frames[20:]])
    unreadable = deliveries(holder.device_id, [b'{"v": 1, "note": "grandma"}'])
    fill(bench, some)
    bench.writer.start()
    wait_until(lambda: len(bench.notes.acked) == 20, what="acked")
    fill(bench, [*others, *unreadable])
    wait_until(lambda: len(bench.notes.acked) == 41, what="acked")
    wait_until(lambda: finished(collector) == 41, what="two batches are told")
    for batch, size in zip(batches(collector), (20, 21), strict=True):
        assert not batch.parent_span_id
        assert attributes(batch) == {"cymba.deliveries": size}
        below = sorted(collector.below(batch), key=lambda one: one.start_time_unix_nano)
        assert {one.name for one in below} == {"commit", "acks"}
        # An attempt of the fast path that has nothing to write is a commit too.
        commit = next(one for one in below if one.name == "commit" and collector.below(one))
        acks = next(one for one in below if one.name == "acks")
        assert commit.end_time_unix_nano <= acks.start_time_unix_nano
        assert attributes(acks) == {"cymba.deliveries": 20, "cymba.answers": 1}
        told = {one.name for one in collector.below(commit)}
        assert any(name.startswith("INSERT frame") for name in told), told
    told_bytes = b"".join(collector.bodies)
    secrets = [holder.device_id, holder.serial, holder.secret, "grandma"]
    secrets.append(str(json.loads(to_json(frames[0]))["sid"]))
    assert [one for one in secrets if one.encode() in told_bytes] == []


def finished(collector: Collector) -> int:
    """Deliveries in batches that are told with all their acks."""
    acks = [one for one in collector.spans() if one.name == "acks"]
    return len(batches(collector)) == 2 and sum(
        int(attributes(one)["cymba.deliveries"]) for one in acks
    )


def batches(collector: Collector) -> list:
    return [one for one in collector.spans() if one.name == "batch"]
