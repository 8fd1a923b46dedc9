"""Every order, duplication and split of the same frames leaves the same rows behind."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Frame = Callable[..., dict[str, Any]]

SIDS = [str(UUID(int=number)) for number in (1, 2)]
TABLES = {
    "frame": "store, seq, boot, sid, kind, up_ms, utc_ms, digest, body",
    "flash_store": "store, CAST(resolved AS text)",
    "session_extent": "sid, store, low_seq, high_seq, low_boot, high_boot, dirty",
    "quarantine": "store, seq, code, digest",
}

_names = itertools.count(1)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[tuple[int, bool]], list[list[int]]]:
    """What was written, as (session, is it bad), and indices into it as batches that hold each
    of them at least once."""
    written = draw(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=12))
    again = draw(st.lists(st.integers(0, len(written) - 1), max_size=8))
    order = draw(st.permutations([*range(len(written)), *again]))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=4)))
    bounds = [0, *cuts, len(order)]
    return written, [order[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.fixture
def rows_of(line: Any) -> Callable[[str], dict[str, list[tuple[Any, ...]]]]:
    """The rows about a device, without its name and the times of arrival."""

    def read(device_id: str) -> dict[str, list[tuple[Any, ...]]]:
        rows = {
            table: line.rows(f"SELECT device_id, {columns} FROM {table}")  # noqa: S608 - of the above
            for table, columns in TABLES.items()
        }
        return {
            table: sorted((row[1:] for row in of_all if row[0] == device_id), key=repr)
            for table, of_all in rows.items()
        }

    return read


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has own devices
)
@given(arrivals())
def test_the_same_rows(
    line: Any,
    rows_of: Any,
    frame: Frame,
    arrived: tuple[list[tuple[int, bool]], list[list[int]]],
) -> None:
    written, batches = arrived
    sent = [
        frame(
            # A new store after every fourth frame, a new boot after every third, and holes.
            2 * number if number % 5 == 0 else number + 1,
            store=number // 4,
            boot=number // 3,
            sid=SIDS[session],
            n=0 if is_bad else 2,
        )
        for number, (session, is_bad) in enumerate(written, 1)
    ]
    straight, shuffled = (line.hold(f"orders-{next(_names):06}") for _ in range(2))
    for one in sent:
        line.send(one, device_id=straight)
    for batch in batches:
        line.send(*(sent[at] for at in batch), device_id=shuffled)
    assert rows_of(straight) == rows_of(shuffled)


def test_a_number_used_twice_keeps_what_came_first(line: Any, frame: Frame, rows_of: Any) -> None:
    """The one thing that order decides, and the reason why devices must not do it."""
    first, second = frame(1), frame(1, up=5)
    a, b = line.hold("orders-a"), line.hold("orders-b")
    line.send(first, second, device_id=a)
    line.send(second, first, device_id=b)
    assert rows_of(a)["frame"] != rows_of(b)["frame"]
    for device in (a, b):
        assert [row[2] for row in rows_of(device)["quarantine"]] == ["key-reuse"]
